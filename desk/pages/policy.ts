// What a page of this house may load and do: only what lies on the same address, and no code that stands in the page.

const COMMON =
  "default-src 'none'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; " +
  "frame-ancestors 'none'";

export const PAGE_POLICY = `${COMMON}; script-src 'self'`;

/** Of pages that see hands: they compile WebAssembly and run a worker. */
export const CAMERA_PAGE_POLICY = `${COMMON}; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'`;
export const CAMERA_PERMISSIONS = "camera=(self), microphone=(), geolocation=(), display-capture=()";
