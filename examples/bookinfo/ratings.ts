import { serve } from './json-service.ts';

/** Star ratings by reviewer; POST replaces those of a product for the life of the process. */
const posted = new Map<number, object>();
const PRODUCTS_MAX = 1000;

serve('ratings', (request, url, body) => {
  const match = /^\/ratings\/(\d{1,9})$/.exec(url.pathname);
  if (match === null)
    return { status: 400, body: { error: 'please provide a numeric product ID' } };
  const id = Number(match[1]);
  if (request.method === 'POST') {
    let ratings: unknown;
    try {
      ratings = JSON.parse(body);
    } catch {
      return { status: 400, body: { error: 'please provide valid ratings JSON' } };
    }
    if (typeof ratings !== 'object' || ratings === null) {
      return { status: 400, body: { error: 'please provide valid ratings JSON' } };
    }
    if (posted.size >= PRODUCTS_MAX) posted.clear();
    posted.set(id, ratings);
  }
  return { status: 200, body: { id, ratings: posted.get(id) ?? { Reviewer1: 5, Reviewer2: 4 } } };
});
