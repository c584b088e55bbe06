// What went wrong, in words, with what to do about it.

const WORDS = {
  unreachable: ["No connection", "The message is kept, and goes on as soon as there is a connection."],
  unauthenticated: ["You are signed out", "Sign in again. The conversation is where you left it."],
  "token-refused": [
    "The endpoint does not take your sign-in",
    "You have signed in, and it refused what the sign-in service gave. Try again in a minute. If it stays so, signing in changes nothing: tell whoever runs the endpoint that jwt_issuer, jwt_audiences and jwt_client_ids have to fit the service, and both clocks have to be right.",
  ],
  "taken-back": ["Not sent", "You took this message back before there was a connection."],
  "no-name-yet": ["this endpoint does not stream, and the answer to so large a message comes as a whole", null],
  "body-lost": ["A message was not sent", "It was too large to be kept while the page was loaded again. If it is not above, send it again."],
  "session-busy": [
    "Another message is being answered",
    "One was sent here from another window or device, or before this page was loaded anew. Yours is kept: send it again when that answer is there.",
  ],
  "session-conflict": [
    "Another message came first",
    "This conversation went on elsewhere, so yours was not stored. Read what was said, and send yours again.",
  ],
  "session-conflict begun": [
    "Another message came in between",
    "This conversation went on elsewhere while yours was being answered. What was stored of that is kept, and tools may have been used. Read what was said before you send yours again.",
  ],
  "interrupt-pending": ["The agent waits for an answer", "Answer its question first. Your message is kept below."],
  "no-interrupt-pending": ["This was answered already", "Somebody answered the question in another window."],
  "payload-too-large": ["Too large", "Send fewer or smaller files."],
  "context-too-long": ["Too long for the model", "Shorten the message, or begin a new conversation."],
  "prompt-refused": ["The model does not take these files", "Leave them out, or send them in another format."],
  "model-throttled": ["The model is busy", "Its provider asks to slow down. Try again in a moment."],
  "model-access": ["The model may not be used yet", null],
  "model-failed": ["The model failed", "What was stored is kept. Try again, or say it differently."],
  "internal-error": ["Something went wrong in the endpoint", "What was stored is kept. Try again; whoever runs the endpoint finds the cause under the number of this request."],
  "storage-failed": ["The storage failed", "Trying again is safe."],
  "storage-failed begun": ["The storage failed", "Part of the answer may be stored. Trying again goes on with it."],
  "turn-cut-off": ["The answer was cut off", "What was stored is kept. Trying again goes on from there."],
  "out-of-time": ["Out of time", "What was done is kept. Trying again goes on from there."],
  "idempotency-key-reused": ["Not sent", "Another message went out under the same number. Edit this one to send it anew."],
  "issuer-unavailable": ["The sign-in cannot be checked now", "Try again in a moment."],
  "not-found": ["Not found", null],
  "status 403": ["Not allowed", "The endpoint refuses this request. You may have no access, or something on the way blocks it."],
  "status 404": ["Not found", "There is nothing at this address. It may have been moved."],
  "status 413": ["Too large", "Send fewer or smaller files."],
  "status 429": ["Too many requests", "The endpoint is busy. Trying again is safe."],
  "status 5": ["The endpoint did not answer", "It may be starting or busy. Trying again is safe."],
  "fork-refused": ["This message cannot be edited", null],
};

const AGAIN = new Set([
  ...["taken-back", "unreachable", "session-busy", "session-conflict", "model-throttled", "model-failed", "internal-error"],
  ...["storage-failed", "turn-cut-off", "out-of-time", "issuer-unavailable", "unauthenticated", "token-refused"],
]);

/** `{title, detail, again}`: whether the same request sent again, with its key, can get an answer. */
export function told(problem) {
  const { kind, status, retryAfter } = problem;
  const named = problem.turn_began ? `${kind} begun` : kind;
  const answer = kind === "unknown" ? (WORDS[`status ${status}`] ?? (status >= 500 && WORDS["status 5"])) : WORDS[named];
  const [title, detail] = answer || [problem.title || "That did not work", status ? `The endpoint answered ${status}.` : null];
  const wrong = (problem.errors ?? []).map((part) => part.detail).join("; ");
  return {
    title,
    detail: [(WORDS[kind] && detail) ?? problem.detail ?? detail, kind === "token-refused" && `It says: ${problem.message}`, wrong, retryAfter && `Try again in ${retryAfter} s.`].filter(Boolean).join(" "),
    again: AGAIN.has(kind) || status === 429 || status >= 500,
    requestId: problem.request_id,
  };
}
