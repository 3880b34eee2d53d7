/** The form of a store's name, so that it can be the name of a folder. */
export const STORE_NAME = /^[a-z0-9][a-z0-9_-]{0,62}$/;
