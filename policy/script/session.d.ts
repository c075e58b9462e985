// Types of the events that session.js sends to `document`, for TypeScript: put this file among your sources.

/** What the filter says of the session: `ok`, or why there is none for a person who is logged in. */
type CurfewState = "ok" | "anonymous" | "absent" | "invalid" | "idle_timeout" | "absolute_timeout" | "revoked";

/** The answer of `status` and `keepalive`. Times are in whole seconds, 0 where no session lives. */
interface CurfewStatus {
  readonly state: CurfewState;
  /** Who it is; only with `browser.subject`. */
  readonly subject?: string;
  /** Until the idle timeout. */
  readonly idle_in: number;
  /** Until the absolute timeout, which nothing moves. */
  readonly expires_in: number;
  /** Until the person should be warned; 0: now. */
  readonly warn_in: number;
  /** Whether this page's rule wants a session. */
  readonly required: boolean;
  /** Whether the browser sent any cookie. */
  readonly cookie: boolean;
}

/** The detail of `curfew:warning`. */
interface CurfewWarning extends CurfewStatus {
  /** Does what the button does; resolves to the new status, or to undefined where the filter could not be reached. */
  readonly extend: () => Promise<CurfewStatus | undefined>;
}

interface CurfewEventMap {
  /** The session is about to end. Cancelable: the app shows a dialog of its own. */
  "curfew:warning": CustomEvent<CurfewWarning>;
  /** It lives on, after a warning or an end. */
  "curfew:extended": CustomEvent<CurfewStatus>;
  /** It is over, and the page is about to be left. Cancelable: the app goes by itself. */
  "curfew:expired": CustomEvent<CurfewStatus>;
}

interface DocumentEventMap extends CurfewEventMap {}
