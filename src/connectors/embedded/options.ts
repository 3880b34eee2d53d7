/** What the manifest may say about an embedded store, besides its URL and what all stores have: nothing yet. */
export const embeddedOptions = {};
