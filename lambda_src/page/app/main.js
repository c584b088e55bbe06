// The page: which conversation is shown, and what goes on in it.

import { askJson, pathOf, Problem, useSignIn } from "./api.js";
import { Composer } from "./composer.js";
import { Conversation, toEnd } from "./conversation.js";
import { $, h, say, storage, uniqueName } from "./dom.js";
import { Limits } from "./files.js";
import { dropQuestions, hideQuestions, showQuestions } from "./interrupts.js";
import { allKept, answered, emptyOutbox, forgetOld, forgetSession, keep, openOutbox, unanswered } from "./outbox.js";
import { told } from "./problems.js";
import { linkTo, Sessions, UNTITLED } from "./sessions.js";
import { connect } from "./signin.js";
import { Turn } from "./turn.js";

const settings = JSON.parse($("settings").textContent);
const first = settings.agent ?? settings.agents?.[0] ?? "default";
const otherTabs = "BroadcastChannel" in window ? new BroadcastChannel("conversations") : null;

let shown = null; // the conversation on the screen
let turn = null; // the turn under way in it
let described = null; // what the endpoint says of its session

const sessions = new Sessions({
  ondeleted(sessionId) {
    otherTabs?.postMessage({ sessionId });
    if (shown?.sessionId === sessionId) go("");
    forgetSession(sessionId);
  },
  onrenamed(sessionId, title) {
    if (shown?.sessionId === sessionId) setTitle((shown.title = title));
    otherTabs?.postMessage({ sessionId });
  },
});
const composer = new Composer(new Limits(settings.limits), { onsend: send, onstop: stop });

// ---- where we are

const place = () => {
  const [, sessionId, agentId] = /^#\/s\/([^/]+)(?:\/([^/]+))?$/.exec(location.hash) ?? [];
  return { sessionId: sessionId && decoded(sessionId), agentId: agentId ? decoded(agentId) : first, isNamed: Boolean(agentId) };
};

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // no address of ours: the endpoint says so
  }
}

const link = (sessionId, agentId) => linkTo(sessionId, agentId === first ? null : agentId);

const WAITS = "What was sent before goes out first"; // a conversation has one request on its way

let opened = null; // the place that is shown

/** Go to a conversation at once: `hashchange` comes later, and what is typed until then would be the old place's. */
function go(hash, { instead = false } = {}) {
  if (instead) location.replace(hash);
  else location.hash = hash;
  open(instead);
}

document.addEventListener("click", (event) => {
  const hash = event.target.closest?.("a")?.getAttribute("href");
  const isElsewhere = event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey;
  if (!hash?.startsWith("#/s/") || isElsewhere || event.defaultPrevented) return;
  event.preventDefault();
  if (hash !== location.hash) go(hash);
});

/** What can be done in the message field, and with messages that were not taken. */
function allow(state) {
  composer.set(state);
  const isBusy = Boolean(state.running || state.blocked);
  for (const button of $("column").querySelectorAll(".again")) button.disabled = isBusy;
}

/** Nothing is asked any more. What somebody was writing as an answer becomes a message, if they want. */
function noQuestions() {
  giveBack(dropQuestions());
  if (!turn) allow({});
}

const giveBack = (texts) => texts.length && composer.giveBack(texts.map((text) => ({ text })));

/** Show the place where we are. `isSame`: it is the one that is shown, under its right name. */
async function open(isSame = false) {
  opened = location.hash;
  const { sessionId, agentId } = place();
  turn?.leave();
  turn = null;
  shown?.leave();
  described = null;
  hideQuestions();
  allow({});
  const isChosen = $("side").contains(document.activeElement) || $("origin")?.contains(document.activeElement);
  closeSide();
  const conversation = new Conversation(sessionId ?? null, agentId, branch);
  shown = conversation;
  conversation.begin();
  showAgents(agentId);
  sessions.choose(sessionId);
  composer.moveTo(JSON.stringify([sessionId, agentId]), isSame);
  setTitle(sessionId ? (sessions.known(sessionId)?.title ?? "") : "New conversation");
  showOrigin();
  if (!sessionId) {
    conversation.empty(greeting());
    composer.focus();
    return;
  }
  if (isChosen) $("title").focus();
  allow({ blocked: WAITS });
  const kept = await unanswered(sessionId, agentId);
  if (conversation.isLeft) return;
  if (!kept) allow({});
  if (kept?.fresh && kept.body) take(kept);
  else await load(conversation, kept);
}

async function load(conversation, kept) {
  conversation.isLoading = true;
  const waiting = setTimeout(() => conversation.isLeft || conversation.empty(h("p", { class: "loading", role: "status" }, "Loading")), 150);
  try {
    const session = await askJson("GET", pathOf(conversation.sessionId));
    if (conversation.isLeft) return;
    described = session;
    setTitle(conversation.title ?? session.title ?? sessions.known(conversation.sessionId)?.title ?? UNTITLED);
    showOrigin();
    showAgents(conversation.agentId);
    const agent = session.agents.find((other) => other.agent_id === conversation.agentId);
    if (!agent && !kept && !place().isNamed && session.agents.length) {
      const { agent_id } = session.agents[0];
      const sent = await unanswered(conversation.sessionId, conversation.agentId); // to whoever is there
      if (sent) answered(sent);
      if (sent) keep({ ...sent, agentId: agent_id, body: { ...sent.body, agent_id } });
      return go(linkTo(conversation.sessionId, agent_id), { instead: true });
    }
    if (agent) await conversation.open(agent.message_count);
    if (conversation.isLeft) return;
    clearTimeout(waiting);
    conversation.isLoaded = true;
    kept ??= await unanswered(conversation.sessionId, conversation.agentId); // sent while it was being loaded
    conversation.empty(agent || kept ? null : greeting());
    await resume(conversation, kept);
    if (conversation.isToLook) await catchUp();
  } catch (error) {
    clearTimeout(waiting);
    if (error.name === "AbortError" || conversation.isLeft || conversation.turnsBegun) return;
    conversation.isLoading = false;
    kept ??= await unanswered(conversation.sessionId, conversation.agentId);
    if (error.kind === "not-found" && kept?.body) return take(kept);
    showNoConversation(conversation, kept, error);
  }
}

function showNoConversation(conversation, kept, error) {
  const { title, detail } = told(error);
  const gone = error.kind === "not-found";
  setTitle(gone ? "No such conversation" : title);
  conversation.empty(
    h(
      "div",
      { class: "greeting", role: "alert" },
      h("h2", {}, gone ? "This conversation is not here" : title),
      h("p", {}, gone ? "It was deleted, it has expired, or it is another person's. Where nothing was said yet, there is none either." : detail),
      h("button", { type: "button", class: "primary", onclick: () => (error.kind === "unauthenticated" ? signInAgain() : gone ? go("") : open()) }, gone ? "New conversation" : error.kind === "unauthenticated" ? "Sign in" : "Try again"),
    ),
  );
  if (error.kind === "unreachable") setTimeout(() => !conversation.isLeft && shown === conversation && open(), 4000);
}

/** Go on with what is under way: our own request, or the turn that the conversation ends with. */
async function resume(conversation, kept) {
  if (kept?.key && !kept.body && !kept.turnId) {
    answered(kept);
    await lookAtLastTurn(conversation);
    if (!conversation.isLeft && !turn) failed(kept, conversation.ask(null), new Problem({ type: "body-lost" }));
    return;
  }
  if (kept) {
    const known = kept.turnId && conversation.last?.turnId === kept.turnId ? conversation.last : null;
    return take(kept, known);
  }
  await lookAtLastTurn(conversation);
}

async function lookAtLastTurn(conversation) {
  const last = conversation.last;
  if (conversation.isLeft) return;
  const isLater = conversation.nextId !== conversation.askedAt; // than the question that is shown
  if (!last?.turnId) return isLater && noQuestions();
  let view = { status: "forgotten" };
  try {
    view = await conversation.turn(last.turnId);
  } catch (error) {
    if (error.name === "AbortError") return;
    if (error.kind !== "not-found") throw error;
  }
  if (conversation.isLeft || turn || conversation.last !== last) return;
  const seen = JSON.stringify([last.turnId, view.status, last.messages.length]);
  if (conversation.seen === seen && view.status !== "running") return; // nothing is said or asked twice
  conversation.seen = seen;
  if (view.status === "forgotten" ? isLater : !view.reply?.interrupts?.length) noQuestions();
  if (view.status === "forgotten") return;
  last.finish(view);
  if (view.status === "running") take({ sessionId: conversation.sessionId, agentId: conversation.agentId, turnId: last.turnId }, last);
  else if (view.reply?.interrupts?.length) askUser(view.reply.interrupts);
  else if (last.element.querySelector(".notice")) return; // it is said already
  else if (view.status === "cut-off") last.answer.note("This answer was cut off. What was said is kept; write to go on.");
  else if (view.problem) last.answer.note(`${told(new Problem(view.problem)).title}. This message got no answer.`);
}

/** See what has been said since, in another window or on another device. */
async function catchUp() {
  const conversation = shown;
  if (!conversation?.sessionId || turn) return;
  conversation.isToLook = true; // a look under way may have passed what was said just now: another one follows it
  if (conversation.catching || !conversation.isLoaded) return;
  conversation.catching = true;
  const { turnsBegun } = conversation;
  try {
    while (conversation.isToLook && !conversation.isLeft && !turn) {
      conversation.isToLook = false;
      if (await conversation.catchUp()) conversation.empty(null);
      await lookAtLastTurn(conversation);
    }
  } catch (error) {
    if (error.kind === "not-found" && described && conversation.turnsBegun === turnsBegun) showNoConversation(conversation, null, error);
  } finally {
    conversation.catching = false;
  }
}

// ---- taking a turn

function send(content) {
  start({ prompt: content });
}

function start(body) {
  const fresh = !shown.sessionId;
  const sessionId = shown.sessionId ?? uniqueName();
  const named = shown.agentId === settings.agent ? {} : { agent_id: shown.agentId };
  const request = { sessionId, agentId: shown.agentId, key: uniqueName(), body: { ...body, ...named }, fresh };
  keep(request);
  const title = body.prompt?.map((block) => block.text).filter(Boolean).join(" ").replace(/\s+/g, " ");
  sessions.used(sessionId, { title, running: true });
  if (fresh) go(link(sessionId, shown.agentId));
  else if (shown.isLoaded) take(request);
  else if (shown.isLoading) wait(request);
  else open();
}

/** What is sent while its conversation is being loaded goes out below what is found there. */
function wait(request) {
  allow({ blocked: WAITS });
  shown.waiting = shown.ask(request.body.prompt);
}

/** Take the turn of a request, or follow it, and show what happens. `known` is where it is shown already. */
function take(request, known) {
  const conversation = shown;
  const content = request.body?.prompt ?? null;
  const place = known ?? conversation.waiting ?? conversation.ask(content);
  conversation.waiting = null;
  conversation.isLoaded = true;
  conversation.turnsBegun += 1;
  const from = conversation.nextId; // what is said before its first message is somebody else's
  giveBack(dropQuestions());
  if (request.problem) return failed(request, place, new Problem(request.problem));
  let firstId = known?.firstId;
  let isCertain = !known && !request.turnId; // whether everything of the turn is told here
  let began = false;
  place.answer.element.dataset.state = "waiting";
  allow({ running: true });
  const itsTurnIs = (turnId) => {
    place.turnId = turnId;
    firstId ??= conversation.replace(turnId, place)?.firstId;
  };
  const sink = {
    began(data) {
      banner("");
      delete place.answer.element.dataset.state;
      place.answer.element.dataset.running = "";
      if (!began) place.answer.restored(data.restored_messages);
      if (!began) say("The agent answers.");
      if (!began) otherTabs?.postMessage({ sessionId: request.sessionId, agentId: request.agentId });
      else isCertain = false;
      began = true;
      itsTurnIs(data.turn_id);
    },
    said: (kind, data) => place.answer.say(kind, data),
    tool: (data) => place.answer.tool(data),
    reset: () => place.answer.reset(),
    stored({ message_id: id, role, content: told }) {
      if (firstId == null && id > from) conversation.fill(from, id, place).catch(() => {});
      firstId ??= id;
      if (id >= conversation.nextId) conversation.nextId = id + 1;
      if (told && id === firstId && role === "user" && !told.some((block) => block.toolResult)) return place.said || place.ask(told);
      if (told && !known?.messages.some((stored) => stored.message_id === id)) place.answer.add({ message: { role, content: told } });
      else if (role === "assistant") place.answer.settle();
    },
    waits({ detail }) {
      banner(navigator.onLine ? `${detail} Nothing is lost: this goes on as soon as it is there again.` : "You are offline. Nothing is lost: this goes on as soon as you are back.");
    },
    async replied(reply) {
      over();
      place.answer.settle();
      itsTurnIs(reply.turn_id);
      const text = reply.message.content.map((block) => block.text).filter(Boolean).join("\n\n");
      const isWhole = isCertain && !place.answer.hasTools && !reply.nodes && !reply.left_out && place.answer.text === text;
      if (place.answer.text !== text) place.answer.show([{ message: reply.message }]); // until what is stored is here
      place.view = { reply };
      if (!place.messages.length) place.messages = [{ created_at: new Date().toISOString() }];
      place.finish();
      place.answer.rest();
      if (!isWhole || content) await conversation.reload(place, reply.turn_id, firstId).catch(() => {});
      if (conversation.isLeft) return;
      if (reply.interrupts.length) askUser(reply.interrupts);
      else say(`Answer: ${text.slice(0, 400)}`);
    },
    notStopped: (problem) => notStopped(problem, now),
    failed(problem) {
      over();
      failed(request, place, problem);
    },
  };
  const over = () => {
    banner("");
    turn = null;
    delete place.answer.element.dataset.state;
    delete place.answer.element.dataset.running;
    allow({});
    sessions.used(request.sessionId);
    otherTabs?.postMessage({ sessionId: request.sessionId, agentId: request.agentId });
    if (request.fresh) afterFirstTurn(conversation);
  };
  const now = new Turn(request, sink, settings.streaming);
  turn = now;
  turn.run();
}

async function afterFirstTurn(conversation) {
  await sessions.refresh();
  if (!conversation.isLeft) setTitle(sessions.known(conversation.sessionId)?.title ?? UNTITLED);
}

/** Say what went wrong, below what was asked, and offer what can be done. */
function failed(request, place, problem) {
  place.answer.settle();
  const { title, detail, again, requestId } = told(problem);
  const content = request.body?.prompt;
  const notice = h(
    "div",
    { class: "notice", role: "alert" },
    h("strong", {}, title),
    h("p", {}, detail),
    requestId && h("small", {}, `Request ${requestId}`),
  );
  const drop = () => {
    answered(request);
    notice.remove();
    if (place.firstId == null && !place.turnId) shown.remove(place);
  };
  const buttons = h("div", { class: "buttons" });
  const button = (words, kind, act) => buttons.append(h("button", { type: "button", class: kind, onclick: act }, words));
  if (content)
    button("Edit", "plain", () => {
      drop();
      composer.giveBack(content);
      catchUp();
    });
  if (problem.kind === "unauthenticated") button("Sign in", "primary", signInAgain);
  else if (again && request.body)
    button("Send again", "primary again", () => {
      if (turn) return;
      notice.remove();
      const same = { ...request, problem: undefined, turnId: undefined };
      keep(same);
      // What was never stored comes behind what was said meanwhile.
      if (place.firstId == null) shown.remove(place);
      take(same, place.firstId == null ? null : place);
    });
  if (!content && !again) answered(request);
  notice.append(buttons);
  place.element.append(notice);
  toEnd();
  if (problem.interrupts?.length) {
    answered(request);
    if (content) composer.giveBack(content);
    notice.remove();
    shown.remove(place);
    askUser(problem.interrupts);
  } else if (["session-busy", "session-conflict", "no-interrupt-pending"].includes(problem.kind)) {
    if (problem.kind === "no-interrupt-pending") giveBack(request.body.interrupt_responses.map(({ response }) => response));
    catchUp();
  }
}

function askUser(interrupts) {
  shown.askedAt = shown.nextId;
  allow({ blocked: "Answer the question above first" });
  showQuestions(interrupts, (responses) => {
    allow({});
    start({ interrupt_responses: responses });
  });
}

async function stop() {
  const its = turn;
  allow({ running: true, stopping: true });
  try {
    await its?.cancel();
    if (turn === its) say("Stopping.");
  } catch (error) {
    notStopped(error, its);
  }
}

function notStopped(problem, its) {
  if (turn !== its) return; // it is over, or is not shown any more
  allow({ running: true });
  composer.tell(`Not stopped: ${told(problem).title}.`);
}

/** Edit a message and send it again: a new conversation that begins as this one was before it. */
async function branch(stored, content, form) {
  const from = shown;
  const { sessionId, agentId } = from;
  form.key ??= uniqueName();
  const title = sessions.known(sessionId)?.title ?? described?.title;
  const body = { before_message: stored.message_id, agent_id: agentId };
  const fork = await askJson("POST", pathOf(sessionId, "fork"), { body, headers: { "Idempotency-Key": form.key } });
  const named = agentId === settings.agent ? {} : { agent_id: agentId };
  const request = { sessionId: fork.session_id, agentId, key: uniqueName(), body: { prompt: content, ...named } };
  keep(request);
  sessions.used(fork.session_id, { title, running: true });
  Object.assign(sessions.known(fork.session_id), { forked_from: sessionId });
  if (!from.isLeft) go(link(fork.session_id, agentId));
  else new Turn(request, null, settings.streaming).run(); // somebody has gone on elsewhere
}

// ---- the frame around it

function setTitle(title) {
  $("title").textContent = title;
  document.title = title || UNTITLED;
}

/** Where this conversation branched off, and which branched off it. */
function showOrigin() {
  $("origin")?.remove();
  if (!shown.sessionId) return;
  const from = described?.fork?.forked_from;
  const links = [
    ...(from ? [["Branched off ", from, sessions.known(from)?.title ?? "the original"]] : []),
    ...sessions.branchesOf(shown.sessionId).map((other) => ["Branch: ", other.session_id, other.title ?? UNTITLED]),
  ];
  if (!links.length) return;
  const items = links.map(([words, id, title]) => h("span", {}, words, h("a", { href: link(id, shown.agentId) }, h("bdi", {}, title))));
  $("head").after(h("p", { id: "origin", class: "origin" }, items));
}

function greeting() {
  return h("div", { class: "greeting" }, h("h2", {}, "What is on your mind?"), h("p", {}, "Everything said here is kept: through reloads, lost connections and restarts."));
}

function showAgents(agentId) {
  const its = described?.agents?.map((agent) => agent.agent_id) ?? [];
  const agents = [...new Set([...(settings.agents ?? []), ...its])];
  $("agent").hidden = agents.length < 2;
  $("agents").replaceChildren(...agents.map((id) => h("option", { value: id, selected: id === agentId }, id)));
  $("agents").value = agentId;
}

$("agents").addEventListener("change", (event) => {
  const agentId = event.target.value;
  if (shown.sessionId) go(linkTo(shown.sessionId, agentId));
  else shown.agentId = agentId;
});

function banner(words, button, act) {
  const shown = $("banner").firstChild?.textContent ?? "";
  if (shown === words) return; // a screen reader would read it again
  $("banner").hidden = !words;
  $("banner").replaceChildren(h("span", {}, words), button ? h("button", { type: "button", class: "link", onclick: act }, button) : "");
}

const narrow = matchMedia("(max-width: 760px)");

function openSide() {
  $("app").dataset.side = "";
  $("scrim").hidden = false;
  $("menu").setAttribute("aria-expanded", "true");
  $("side").inert = false;
  $("main").inert = true;
  $("new").focus();
}

function closeSide() {
  const wasOpen = "side" in $("app").dataset;
  delete $("app").dataset.side;
  $("scrim").hidden = true;
  $("menu").setAttribute("aria-expanded", "false");
  $("side").inert = narrow.matches;
  $("main").inert = false;
  if (wasOpen) $("menu").focus();
}

narrow.addEventListener("change", closeSide);
$("menu").addEventListener("click", openSide);
$("side-close").addEventListener("click", closeSide);
$("scrim").addEventListener("click", closeSide);
document.addEventListener("keydown", (event) => event.key === "Escape" && "side" in $("app").dataset && closeSide());
$("skip").addEventListener("click", (event) => {
  event.preventDefault();
  composer.focus();
});
$("new").addEventListener("click", () => {
  go("");
  composer.focus();
});

let signIn = null;

const signInAgain = () => signIn.leave().catch((error) => banner(error.message, "Try again", signInAgain));

/** Whether nothing would be lost if the page ended now. */
async function mayLeave() {
  await allKept();
  return !composer.isUnsaved && !document.querySelector(".editing, .row form");
}

/** Nothing goes on without the person. What they are writing stays until they say so. */
function refused(problem) {
  const { title, detail } = told(problem);
  if (problem.kind === "token-refused") banner(`${title}. ${detail}`, "Try again", () => location.reload());
  else banner(`Your sign-in has ended. What you have typed is kept.${composer.isUnsaved ? " Attached files have to be attached again afterwards, unless you send them now." : ""}`, "Sign in", signInAgain);
}

function signOut(isTold) {
  document.body.inert = true; // what were written from here on would be kept
  const emptied = emptyOutbox();
  for (const name of Object.keys(storage)) storage.removeItem(name);
  if (!isTold) otherTabs?.postMessage({ signedOut: signIn.owner });
  signIn.signOut(isTold, emptied);
}

function showWho() {
  if (!signIn.name && !signIn.canSignOut) return;
  $("who").hidden = false;
  $("who").replaceChildren(h("span", {}, signIn.name ?? ""), signIn.canSignOut && h("button", { type: "button", class: "link", onclick: () => signOut(false) }, "Sign out"));
}

const signedOut = new Set(); // who has, in another tab, while this one was signing in

otherTabs?.addEventListener("message", ({ data }) => {
  if (!signIn) return "signedOut" in data && signedOut.add(data.signedOut);
  if ("signedOut" in data) return signIn.canSignOut && data.signedOut === signIn.owner && signOut(true);
  sessions.refresh();
  if (data.sessionId === shown?.sessionId) catchUp();
});

async function begin() {
  forgetOld();
  try {
    signIn = await connect(settings, mayLeave);
  } catch (error) {
    const title = { "signed-out": "Signed out", unavailable: "Nobody can sign in now" }[error.kind] ?? "Signing in did not work";
    const words = ["unavailable", "unreachable"].includes(error.kind) ? "Try again" : "Sign in";
    const again = h("button", { type: "button", class: "primary", onclick: error.again ?? (() => location.reload()) }, words);
    $("column").replaceChildren(h("div", { class: "greeting", role: "alert" }, h("h2", {}, title), h("p", {}, error.message), again));
    return;
  }
  useSignIn(signIn, refused);
  openOutbox(signIn.owner);
  if (signedOut.has(signIn.owner)) return signOut(true);
  showWho();
  window.addEventListener("hashchange", () => location.hash !== opened && open());
  open();
  if (storage.isGone) composer.tell("This browser keeps nothing for this page: what is being sent does not outlive a reload.");
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    turn?.check();
    sessions.refresh();
    catchUp();
  });
  window.addEventListener("online", () => {
    banner("");
    turn?.check();
    catchUp();
    sessions.refresh();
  });
  window.addEventListener("offline", () => banner("You are offline. What you send is kept, and goes out once when you are back."));
  await sessions.refresh();
  if (sessions.known(shown.sessionId)?.title) setTitle(sessions.known(shown.sessionId).title);
  showOrigin();
}

begin();
