// Requests to the service this page came from, with a token where one was given.

const KEY = "tidemark.token.";
/** What the service asks for: of operators, and of who looks at users. */
const OTHER = { admin: "read", read: "admin" };

/** An answer that is an error: its words, and whether a token would help. */
export class ServiceError extends Error {
  constructor(status, detail, scope) {
    super(detail.reason);
    this.status = status;
    this.hint = detail.hint ?? "";
    this.scope = scope;
  }

  get needsToken() {
    return this.status === 401 || this.status === 403;
  }
}

/** Kept until this tab is closed; one token may be for both. */
export function keepToken(scope, token) {
  sessionStorage.setItem(KEY + scope, token);
  if (!sessionStorage.getItem(KEY + OTHER[scope])) sessionStorage.setItem(KEY + OTHER[scope], token);
}

/** An address of the service, relative to where the page is. */
export function address(path, query = {}) {
  const url = new URL(path, document.baseURI);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  return url;
}

/** Ask; raises a ServiceError for what is no success, a TypeError where nothing answers. */
export async function ask(path, { query, scope = "read", accept = "application/json", signal } = {}) {
  const token = sessionStorage.getItem(KEY + scope);
  const headers = { accept };
  if (token) headers.authorization = `Bearer ${token}`;
  const answer = await fetch(address(path, query), { headers, signal, cache: "no-store" });
  if (answer.ok) return answer;
  throw new ServiceError(answer.status, await words(answer), scope);
}

export async function json(path, options) {
  return (await ask(path, options)).json();
}

async function words(answer) {
  try {
    const { error } = await answer.json();
    return { reason: String(error.reason), hint: String(error.hint) };
  } catch {
    return { reason: `the service answered with status ${answer.status}` };
  }
}
