// Signing in with the endpoint's issuer: authorization code with PKCE (RFC 7636). Tokens live in this module's memory
// and nowhere else. What outlives the way to the issuer and back is in the tab's sessionStorage, for that time alone:
// the verifier, state and nonce of this sign-in, and the conversation that was open.

const KEPT = "agent-session-kit.sign-in";
const SIGNED_OUT = "agent-session-kit.signed-out";
const EARLY_SECONDS = 30; // a token is renewed so long before it ends
const LEAVING_MS = 1_000; // signing out waits so long for what has to be done before
const ANSWER_MS = 10_000; // an issuer that is silent for so long is not there

const ENDING = new Promise(() => {}); // nothing follows: the page ends

/** A sign-in that did not come to its end. `again()` begins another one. */
export class SignInError extends Error {
  constructor(kind, message, again) {
    super(message);
    this.kind = kind; // "signed-out", "ended", "refused", "unreachable", "unavailable"
    this.again = again;
  }
}

/** Where nobody signs in. */
const NOBODY = { name: null, owner: "", canSignOut: false, token: async () => null, accepted() {}, leave: () => location.reload() };

/**
 * Sign in, if the endpoint wants it. The browser may go to the issuer: then this never returns, and the page comes back.
 * Resolves to a SignedIn, or to what looks like one; rejects with SignInError.
 * `mayLeave()` resolves to whether nothing would be lost if the page ended now.
 */
export async function connect(settings, mayLeave) {
  if (settings.auth !== "jwt") return NOBODY;
  const answer = takeAnswer();
  if (!settings.sign_in) {
    throw new SignInError("unavailable", "The service where people sign in does not answer. Nothing is lost by it: try again in a moment.", () => location.reload());
  }
  const session = new SignedIn(settings.sign_in, await import("../vendor/oauth4webapi.js"), mayLeave);
  await session.begin(answer);
  return session;
}

/** What the issuer has sent the browser back with, and what this tab has kept for it: null when it did not come from there. */
function takeAnswer() {
  const told = new URLSearchParams(location.search);
  if (!told.has("state") || !(told.has("code") || told.has("error"))) return null;
  const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
  sessionStorage.removeItem(KEPT);
  history.replaceState(null, "", `/${kept?.hash ?? ""}`); // a code belongs in no history, whatever comes of it
  return { told, kept };
}

/** Somebody who has signed in. `owner` tells people apart as the endpoint does, `name` is for the eye alone. */
class SignedIn {
  constructor(told, oauth, mayLeave) {
    this.told = told;
    this.oauth = oauth;
    this.mayLeave = mayLeave;
    this.canSignOut = true;
    this.issuer = {
      issuer: told.issuer,
      authorization_endpoint: told.authorization_endpoint,
      token_endpoint: told.token_endpoint,
      ...(told.id_token_algorithms.length && { id_token_signing_alg_values_supported: told.id_token_algorithms }),
    };
    this.client = { client_id: told.client_id };
    this.page = `${location.origin}/`;
    // The page's policy knows the issuer's address; without TLS it is one on this machine.
    this.options = { [oauth.allowInsecureRequests]: told.token_endpoint.startsWith("http://") };
    this.name = null;
    this.owner = null;
    this.renewing = null;
    this.isAccepted = false; // whether the endpoint has taken the access token
    this.hasSignedOut = false; // from then on no token is kept or given, and the page only ends
  }

  async begin(answer) {
    if (answer) return this.comeBack(answer);
    if (sessionStorage.getItem(SIGNED_OUT)) throw this.error("signed-out", "You are signed out.");
    return this.go();
  }

  /** Go to the issuer, if it is there. */
  async leave() {
    if (!(await this.isThere())) throw this.unreachable();
    return this.go();
  }

  /**
   * Whether the issuer answers. The way to one that does not would end at an error page of the browser's own, without
   * the conversation. Its token endpoint is asked, which this page may ask anyway; without a token it refuses, which is
   * an answer. It may refuse without a word that other origins can read: that is one, too.
   */
  async isThere() {
    const { client_id, token_endpoint } = this.told;
    const body = new URLSearchParams({ grant_type: "refresh_token", client_id });
    for (const mode of ["cors", "no-cors"]) {
      try {
        const signal = AbortSignal.timeout(ANSWER_MS);
        const asked = { method: "POST", body, mode, signal, cache: "no-store", credentials: "omit" };
        return (await fetch(token_endpoint, asked)).status < 500;
      } catch {
        // Not in this way.
      }
    }
    return false;
  }

  /** This page ends with it. */
  async go() {
    const { oauth, told } = this;
    const kept = {
      verifier: oauth.generateRandomCodeVerifier(),
      state: oauth.generateRandomState(),
      nonce: told.scope.split(" ").includes("openid") ? oauth.generateRandomNonce() : null,
      hash: location.hash,
    };
    const address = new URL(told.authorization_endpoint);
    const asked = {
      client_id: told.client_id,
      response_type: "code",
      redirect_uri: this.page,
      scope: told.scope,
      state: kept.state,
      nonce: kept.nonce,
      audience: told.audience, // Auth0 wants it; others pass over it
      code_challenge: await oauth.calculatePKCECodeChallenge(kept.verifier),
      code_challenge_method: "S256",
    };
    for (const [name, value] of Object.entries(asked)) if (value) address.searchParams.set(name, value);
    if (this.hasSignedOut) return ENDING;
    sessionStorage.removeItem(SIGNED_OUT);
    sessionStorage.setItem(KEPT, JSON.stringify(kept));
    location.assign(address);
    return ENDING;
  }

  /** The issuer has sent the browser back, with a code or an error. */
  async comeBack({ told, kept }) {
    const { oauth, issuer, client } = this;
    if (!kept) throw this.error("refused", "This sign-in was not begun in this tab.");
    try {
      const checked = oauth.validateAuthResponse(issuer, client, told, kept.state);
      const response = working(
        await oauth.authorizationCodeGrantRequest(issuer, client, oauth.None(), checked, this.page, kept.verifier, this.options),
      );
      this.keep(
        await oauth.processAuthorizationCodeResponse(
          issuer, client, response, kept.nonce ? { expectedNonce: kept.nonce } : {},
        ),
      );
    } catch (error) {
      throw this.inWords(error);
    }
  }

  keep(result) {
    if (this.hasSignedOut) return this.revoke(result.refresh_token); // it came too late
    const claims = this.oauth.getValidatedIdTokenClaims(result);
    this.accessToken = result.access_token;
    this.isAccepted = false;
    this.owner = ownerIn(this.accessToken);
    this.refreshToken = result.refresh_token ?? this.refreshToken;
    this.idToken = result.id_token ?? this.idToken;
    const seconds = result.expires_in ?? Infinity;
    this.endsAt = performance.now() + seconds * 1000;
    this.renewAt = this.endsAt - Math.min(EARLY_SECONDS, seconds / 4) * 1000;
    if (claims) {
      const names = [claims.name, claims.preferred_username, claims.email, claims["cognito:username"]];
      this.name = names.find((name) => typeof name === "string" && name) ?? this.name;
    }
  }

  /**
   * An access token. After the endpoint has refused one, `refused`, it is another one; null when that one was as fresh
   * as any other would be.
   */
  async token(refused) {
    if (this.hasSignedOut) return ENDING;
    const isAnother = refused && refused !== this.accessToken;
    if (isAnother || (!refused && performance.now() < this.renewAt)) return this.accessToken;
    if (refused && !this.isAccepted && performance.now() < this.endsAt) return null;
    this.renewing ??= this.renew(refused).finally(() => (this.renewing = null)); // several ask, one renews
    const token = await this.renewing.catch((error) => (this.hasSignedOut ? null : Promise.reject(error)));
    return this.hasSignedOut ? ENDING : token;
  }

  /** The endpoint has taken this token. */
  accepted(token) {
    if (token === this.accessToken) this.isAccepted = true;
  }

  async renew(refused) {
    const { oauth, issuer, client } = this;
    const isGood = !refused && performance.now() < this.endsAt;
    if (!this.refreshToken) return isGood ? this.accessToken : this.leaveUnasked();
    try {
      const response = working(
        await oauth.refreshTokenGrantRequest(issuer, client, oauth.None(), this.refreshToken, this.options),
      );
      this.keep(await oauth.processRefreshTokenResponse(issuer, client, response));
    } catch (error) {
      if (error instanceof oauth.ResponseBodyError) return this.leaveUnasked(); // the issuer has ended this sign-in
      if (isGood) return this.accessToken;
      throw this.inWords(error);
    }
    return this.accessToken;
  }

  /** Renew by the way to the issuer and back: not over and over when nothing came of it, and not when something would be lost. */
  async leaveUnasked() {
    if (this.hasSignedOut) return null;
    if (this.isAccepted && !(await this.isThere())) throw this.unreachable();
    if (this.isAccepted && (await this.mayLeave())) return this.go();
    throw this.error("ended", "Your sign-in has ended.");
  }

  /** Sign out here; `isTold`: another tab has done so, and has told the issuer. The page ends, `before` that is over if it can. */
  async signOut(isTold, before) {
    if (this.hasSignedOut) return;
    this.hasSignedOut = true;
    const { end_session_endpoint: end, client_id } = this.told;
    const back = this.page;
    this.revoke(this.refreshToken);
    const asked = { id_token_hint: this.idToken, client_id, post_logout_redirect_uri: back, logout_uri: back };
    this.accessToken = this.refreshToken = this.idToken = undefined;
    this.renewAt = this.endsAt = 0;
    sessionStorage.setItem(SIGNED_OUT, "yes");
    // Back to a page that a browser has kept whole would show the conversation.
    addEventListener("pageshow", (event) => event.persisted && location.reload());
    const renewed = this.renewing?.catch(() => {}); // it may bring another token, which has to be given back
    await Promise.race([Promise.all([before, renewed]), new Promise((resolve) => setTimeout(resolve, LEAVING_MS))]);
    if (!end || isTold) return location.replace(back);
    const address = new URL(end);
    for (const [name, value] of Object.entries(asked)) if (value) address.searchParams.set(name, value);
    location.replace(address);
  }

  /** Give a refresh token back. */
  revoke(token) {
    const { revocation_endpoint: revocation, client_id } = this.told;
    if (!token || !revocation) return;
    const body = new URLSearchParams({ token, token_type_hint: "refresh_token", client_id });
    fetch(revocation, { method: "POST", body, keepalive: true }).catch(() => {}); // it goes out after this page, too
  }

  error(kind, message) {
    return new SignInError(kind, message, () => this.go());
  }

  unreachable() {
    return this.error("unreachable", "The sign-in service cannot be reached.");
  }

  inWords(error) {
    const { AuthorizationResponseError, ResponseBodyError } = this.oauth;
    if (error instanceof TypeError) return this.unreachable(); // no connection, as of any fetch
    const known = error instanceof AuthorizationResponseError || error instanceof ResponseBodyError;
    const isClock = error.code === "OAUTH_JWT_TIMESTAMP_CHECK_FAILED";
    const why = isClock ? "The clock of this device and that of the sign-in service differ: set it, and try again" : known ? `It says: ${error.error_description || error.error}` : `What the sign-in service answered cannot be used: ${error.message}`;
    return this.error("refused", `Signing in did not succeed. ${why}.`);
  }
}

/** An issuer that fails is as good as none: trying again can help. */
function working(response) {
  if (response.status >= 500) throw new TypeError(`status ${response.status}`);
  return response;
}

/** Whose a token is, as the endpoint goes by it. Null when the token is none that can be read. */
function ownerIn(token) {
  try {
    const { iss, sub } = JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
    return JSON.stringify([iss, sub]);
  } catch {
    return null;
  }
}
