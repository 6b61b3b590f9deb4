import { serve } from './json-service.ts';
import { copiedHeaders } from './trace-headers.ts';

/**
 * Book reviews. $SERVICE_VERSION: v1 shows no stars, v2 black ones, v3 red ones. The stars come from ratings; black ones are
 * waited for 10 s, red ones 2.5 s.
 */
const version = process.env['SERVICE_VERSION'] ?? 'v1';
const ratingsHost = process.env['RATINGS_HOSTNAME'] ?? 'ratings';
const ratingsPort = process.env['RATINGS_SERVICE_PORT'] ?? '9080';
const color = version === 'v3' ? 'red' : 'black';
const timeoutMs = color === 'black' ? 10_000 : 2500;

interface Rating {
  stars?: number;
  color?: string;
  error?: string;
}

serve(`reviews ${version}`, async (request, url) => {
  const id = /^\/reviews\/(\d{1,9})$/.exec(url.pathname)?.[1];
  if (id === undefined)
    return { status: 400, body: { error: 'please provide a numeric product ID' } };
  const stars = version === 'v1' ? null : await readStars(id, copiedHeaders(request));
  const rating = (reviewer: string): { rating?: Rating } => {
    if (stars === null) return {};
    const count = stars.get(reviewer);
    if (count === undefined)
      return { rating: { error: 'Ratings service is currently unavailable' } };
    return { rating: { stars: count, color } };
  };
  return {
    status: 200,
    body: {
      id,
      podname: `reviews-${version}`,
      clustername: 'null',
      reviews: [
        {
          reviewer: 'Reviewer1',
          text: 'An extremely entertaining play by Shakespeare. The slapstick humour is refreshing!',
          ...rating('Reviewer1'),
        },
        {
          reviewer: 'Reviewer2',
          text: 'Absolutely fun and entertaining. The play lacks thematic depth when compared to other plays by Shakespeare.',
          ...rating('Reviewer2'),
        },
      ],
    },
  };
});

/** Stars by reviewer; empty where ratings does not answer in time. */
async function readStars(
  id: string,
  headers: Record<string, string>,
): Promise<Map<string, number>> {
  try {
    const response = await fetch(`http://${ratingsHost}:${ratingsPort}/ratings/${id}`, {
      headers,
      signal: AbortSignal.timeout(timeoutMs),
    });
    if (!response.ok) {
      await response.body?.cancel();
      return new Map();
    }
    const { ratings } = (await response.json()) as { ratings: Record<string, number> };
    return new Map(Object.entries(ratings));
  } catch {
    return new Map();
  }
}
