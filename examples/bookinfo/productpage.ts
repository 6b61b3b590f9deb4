import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { type Answer, serve } from './json-service.ts';
import { copiedHeaders } from './trace-headers.ts';

/**
 * The front page: details and reviews of a product, as HTML at /productpage and as JSON below /api/v1/products.
 * Signing in at /login?username=jason sends `end-user: jason` along with every call. Reviews are waited for 3 s, twice.
 */
const port = process.env['SERVICES_PORT'] ?? '9080';
const details = `http://${process.env['DETAILS_HOSTNAME'] ?? 'details'}:${port}/details`;
const reviews = `http://${process.env['REVIEWS_HOSTNAME'] ?? 'reviews'}:${port}/reviews`;
const ratings = `http://${process.env['RATINGS_HOSTNAME'] ?? 'ratings'}:${port}/ratings`;
const TIMEOUT_MS = 3000;
const REVIEWS_TRIES = 2;

const PRODUCT = {
  id: 0,
  title: 'The Comedy of Errors',
  descriptionHtml:
    'The Comedy of Errors is one of William Shakespeare’s early plays, and his shortest.',
};

/** Session cookie → user name. */
const sessions = new Map<string, string>();
const SESSIONS_MAX = 10_000;

serve('productpage', async (request, url, body) => {
  const headers = copiedHeaders(request);
  const user = sessionUser(request);
  if (user !== '') headers['end-user'] = user;
  if (url.pathname === '/login') return login(url, body);
  if (url.pathname === '/logout')
    return { status: 302, body: '', headers: { location: '/productpage' } };
  if (url.pathname === '/productpage' || url.pathname === '/') {
    const [detailsResult, reviewsResult] = await Promise.all([
      getJson(`${details}/${PRODUCT.id}`, headers, 1),
      getJson(`${reviews}/${PRODUCT.id}`, headers, REVIEWS_TRIES),
    ]);
    return { status: 200, body: page(user, detailsResult, reviewsResult) };
  }
  if (url.pathname === '/api/v1/products') return { status: 200, body: [PRODUCT] };
  const api = /^\/api\/v1\/products\/(\d{1,9})(?:\/(reviews|ratings))?$/.exec(url.pathname);
  if (api === null) return { status: 404, body: { error: 'not found' } };
  const [, id, part] = api;
  if (part === 'reviews') return getJson(`${reviews}/${id}`, headers, REVIEWS_TRIES);
  if (part === 'ratings') return getJson(`${ratings}/${id}`, headers, 1);
  return getJson(`${details}/${id}`, headers, 1);
});

async function getJson(
  url: string,
  headers: Record<string, string>,
  tries: number,
): Promise<Answer> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const response = await fetch(url, { headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
      if (response.ok) return { status: 200, body: (await response.json()) as object };
      await response.body?.cancel();
      if (attempt >= tries) return unavailable(response.status);
    } catch {
      if (attempt >= tries) return unavailable(500);
    }
  }
}

function unavailable(status: number): Answer {
  return {
    status,
    body: { error: 'Sorry, the service behind this page is currently unavailable.' },
  };
}

function login(url: URL, body: string): Answer {
  const user = url.searchParams.get('username') ?? new URLSearchParams(body).get('username') ?? '';
  if (!/^[\w.-]{1,64}$/.test(user))
    return { status: 400, body: { error: 'please give a username' } };
  if (sessions.size >= SESSIONS_MAX) sessions.clear();
  const session = randomUUID();
  sessions.set(session, user);
  const cookie = `session=${session}; HttpOnly; SameSite=Lax; Path=/`;
  return { status: 302, body: '', headers: { location: '/productpage', 'set-cookie': cookie } };
}

function sessionUser(request: IncomingMessage): string {
  const session = /(?:^|;\s*)session=([0-9a-f-]{36})/.exec(request.headers.cookie ?? '')?.[1];
  return session === undefined ? '' : (sessions.get(session) ?? '');
}

interface Reviews {
  podname: string;
  reviews: {
    reviewer: string;
    text: string;
    rating?: { stars?: number; color?: string; error?: string };
  }[];
}

function page(user: string, detailsResult: Answer, reviewsResult: Answer): string {
  const detailRows =
    detailsResult.status === 200
      ? Object.entries(detailsResult.body)
          .map(
            ([name, value]) => `<dt>${escapeHtml(name)}</dt><dd>${escapeHtml(String(value))}</dd>`,
          )
          .join('')
      : '<p>Sorry, product details are currently unavailable for this book.</p>';
  const reviewRows =
    reviewsResult.status === 200
      ? `${(reviewsResult.body as Reviews).reviews
          .map(({ reviewer, text, rating }) => {
            const stars =
              rating?.stars === undefined
                ? escapeHtml(rating?.error ?? '')
                : `<span style="color:${rating.color === 'red' ? 'red' : 'black'}">${'★'.repeat(Math.max(0, Math.min(5, rating.stars)))}</span>`;
            return `<blockquote>${escapeHtml(text)}<footer>${escapeHtml(reviewer)} ${stars}</footer></blockquote>`;
          })
          .join('')}<p>Reviews served by ${escapeHtml((reviewsResult.body as Reviews).podname)}</p>`
      : '<p>Sorry, product reviews are currently unavailable for this book.</p>';
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>Simple Bookstore App</title>
<p>${user === '' ? '<a href="/login?username=jason">Sign in as jason</a>' : `${escapeHtml(user)} (<a href="/logout">sign out</a>)`}</p>
<h1>${PRODUCT.title}</h1><p>${PRODUCT.descriptionHtml}</p>
<h2>Book Details</h2><dl>${detailRows}</dl><h2>Book Reviews</h2>${reviewRows}</html>
`;
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
