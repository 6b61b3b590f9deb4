import { serve } from './json-service.ts';

/** Book details. */
serve('details', (_request, url) => {
  const id = /^\/details\/(\d{1,9})$/.exec(url.pathname)?.[1];
  if (id === undefined)
    return { status: 400, body: { error: 'please provide a numeric product ID' } };
  return {
    status: 200,
    body: {
      id: Number(id),
      author: 'William Shakespeare',
      year: 1595,
      type: 'paperback',
      pages: 200,
      publisher: 'PublisherA',
      language: 'English',
      'ISBN-10': '1234567890',
      'ISBN-13': '123-1234567890',
    },
  };
});
