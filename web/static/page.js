// The labelling page: shows a pair, sends a verdict, shows the pair that comes back.
// A verdict is kept in the browser until the server has stored it: no network and no reload loses one.

import { makeEditor } from "./editor.js";
import { showVotes } from "./votes.js";

const QUEUE = `/queues/${document.body.dataset.queue}`;
const PERSON = document.body.dataset.person;
// The mark tells this queue from another site's that was at the same address before.
const PENDING = `antipode verdict ${document.body.dataset.mark} ${PERSON}`;
const MARKS = "antipode marks";
const GUIDELINES = "antipode guidelines";
const READ = `antipode read ${document.body.dataset.mark} ${PERSON}`;
// Tells the person's other tabs on this queue that they went on here.
const tabs = new BroadcastChannel(`antipode ${document.body.dataset.mark} ${PERSON}`);
const UNSEEN_MS = 150; // nobody judges a pair this fast: a key in this time was meant for the one before
const PATIENCE_MS = 20_000;
const LONGEST_WAIT_MS = 15_000;
const NOTICE_MS = 4_000;

const KEYS = { 1: "left", 2: "right", 0: "tie", x: "both_bad", s: "skip", u: "undo", d: "marks", p: "pause", l: "slightly", c: "comment", e: "edit", g: "guidelines", "?": "help" };
// Where a layout has no such letter or digit on the key, its place counts.
const PLACES = { Digit1: "left", Digit2: "right", Digit0: "tie", KeyX: "both_bad", KeyS: "skip", KeyU: "undo", KeyD: "marks", KeyP: "pause", KeyL: "slightly", KeyC: "comment", KeyE: "edit", KeyG: "guidelines" };
const SAID = { left: "Response 1 is better", right: "Response 2 is better", tie: "Tie", both_bad: "Both bad", skip: "Skipped" };

const at = (id) => document.getElementById(id);
let pair = null;
let has = { strength: false, comment: false, editing: false };
let guidelinesVersion = null; // of those that are shown
let isBusy = true;
let shownAt = 0;
let seenMs = 0; // time the pair was visible until `visibleSince`
let visibleSince = null;
let noticeTimer = 0;

class Refused extends Error {}
class SignedOut extends Refused {}
class Unanswered extends Error {}

const editor = makeEditor({
  load: () => request("/texts"),
  save: (edit) => request("/edits", { person: PERSON, guidelines_version: guidelinesVersion, ...edit }),
  pair: () => pair,
  notify,
  reason: (error) => error instanceof Refused ? error.message : "no connection, try again",
});

/* Requests */

async function request(path, body) {
  const sent = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(QUEUE + path, { ...sent, signal: AbortSignal.timeout(PATIENCE_MS) });
  if (answer.ok) return answer.json();
  if (answer.status >= 500) throw new Unanswered("The server has a problem.");
  const { detail } = await answer.json().catch(() => ({}));
  throw new (answer.status === 401 ? SignedOut : Refused)(detail || `the server answered ${answer.status}`);
}

/** Ask until the server answers: a refusal is an answer, silence is not. */
async function persistently(path, body, what) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      const content = await request(path, body);
      if (attempt) notify("Connected again.");
      return content;
    } catch (error) {
      if (error instanceof Refused) throw error;
      notify(`${error instanceof Unanswered ? error.message : "No connection."} ${what}`, true);
      await wait(Math.min(LONGEST_WAIT_MS, 1000 * 2 ** attempt));
    }
  }
}

function wait(ms) {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
    addEventListener("online", resolve, { once: true });
  });
}

/* What the browser keeps; one that keeps nothing (a private window) still labels. */

function keep(key, value) {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, JSON.stringify(value));
  } catch { /* storage is switched off */ }
}

function kept(key) {
  try {
    return JSON.parse(localStorage.getItem(key));
  } catch {
    return null;
  }
}

/* Actions */

async function exclusively(work) {
  isBusy = true;
  at("notice").hidden = true;
  at("work").setAttribute("aria-busy", "true");
  try {
    show(await work());
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    notify(`${error.message[0].toUpperCase()}${error.message.slice(1)}.`, true);
    await showAfter(error);
  } finally {
    delete document.body.dataset.verdict;
    at("work").removeAttribute("aria-busy");
    isBusy = false;
  }
}

/** After a refusal the pair is asked for once more; who is signed out, or refused that too, sees what was there. */
async function showAfter(refusal) {
  if (refusal instanceof SignedOut) return;
  try {
    show(await persistently("/pair", null, "Trying again."));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
  }
}

function judge(verdict) {
  const { left_id, right_id, shown_at } = pair;
  const isSided = verdict === "left" || verdict === "right";
  const strength = has.strength && isSided ? (isSlight() ? "slightly" : "clearly") : null;
  const comment = has.comment ? at("comment").value.trim() || null : null;
  return deliver({
    person: PERSON, left_id, right_id, shown_at, verdict, strength, comment,
    guidelines_version: guidelinesVersion, seconds: visibleSeconds(),
  });
}

function deliver(verdict) {
  const said = SAID[verdict.verdict];
  document.body.dataset.verdict = verdict.verdict;
  keep(PENDING, verdict);
  return exclusively(async () => {
    try {
      const content = await persistently("/verdicts", verdict, `“${said}” is kept and sent again.`);
      keep(PENDING, null);
      tell(content);
      announce(content.is_stored ? `Stored: ${said}.` : "Not stored.");
      if (!content.is_stored) notify("You had judged this pair already; that verdict stays. Undo takes your last one back.");
      return content;
    } catch (error) {
      if (error instanceof SignedOut) throw new SignedOut(`${error.message}. “${said}” is kept`);
      keep(PENDING, null);
      throw error instanceof Refused ? new Refused(`Not stored: ${error.message}`) : error;
    }
  });
}

function undo() {
  return exclusively(async () => {
    const before = pair;
    try {
      const content = await request("/undo", { person: PERSON });
      tell(content);
      const isSame = before && content.pair && before.left_id === content.pair.left_id && before.right_id === content.pair.right_id;
      notify(isSame || !content.pair ? "Nothing to take back." : "Taken back. Judge this pair again.");
      return content;
    } catch (error) {
      if (error instanceof Refused) throw error;
      // It may have arrived: sent twice it would take two back, so the person looks and decides.
      const content = await persistently("/pair", null, "Trying again.");
      notify("The connection broke. See whether this is the pair you meant; if not, undo again.");
      return content;
    }
  });
}

function pause() {
  return exclusively(async () => {
    const content = await request("/pause", { person: PERSON }).catch((error) => {
      if (error instanceof Refused) throw error;
      throw new Refused("no connection: the pair before you was not given back, and goes to somebody else after a while");
    });
    tell(content);
    return content;
  });
}

const resume = () => exclusively(() => persistently("/pair", null, "Trying again."));

const tell = (content) => tabs.postMessage(content);

/** The person went on in another tab: this one shows what that one does. */
function hear(content) {
  const [here, there] = [pair, content.pair].map((one) => one && [one.left_id, one.right_id, one.shown_at].join());
  if (isBusy || here === there || at("edit").open) return; // what is being written stays
  show(content);
  notify(`You went on in another tab${content.pair ? "; this is the pair that lies before you now" : ""}.`, true);
}

const isSlight = () => at("slightly").getAttribute("aria-pressed") === "true";
const setSlight = (isOn) => at("slightly").setAttribute("aria-pressed", String(isOn));

function setMarks(isOn) {
  document.body.dataset.marks = isOn ? "on" : "off";
  at("marks").setAttribute("aria-pressed", String(isOn));
  keep(MARKS, isOn);
}

function act(action) {
  if (action === "help") return at("help").showModal();
  if (action === "marks") return at("marks").disabled || setMarks(document.body.dataset.marks === "off");
  if (action === "guidelines") return at("guidelines").hidden || at("guidelines").toggleAttribute("open");
  if (action === "comment") return at("comment-field").hidden || at("comment").focus();
  if (action === "resume") return isBusy || resume();
  if (isBusy || performance.now() - shownAt < UNSEEN_MS) return undefined;
  if (action === "undo") return undo();
  if (action === "pause") return pair && pause();
  if (action === "edit") return pair && has.editing && editor.open();
  if (action === "slightly") return pair && has.strength && setSlight(!isSlight());
  return pair && judge(action);
}

/* Showing */

function show(content) {
  pair = content.pair;
  showProgress(content.progress);
  at("work").hidden = !pair;
  at("finished").hidden = Boolean(pair);
  lock();
  showOptions(content);
  at("marks").title = pair && !pair.has_marks ? "The responses share too little, or nothing differs" : "";
  showVotes(at("votes"), content.votes);
  if (pair) showPair();
  else showRest(content);
  shownAt = performance.now();
  seenMs = 0;
  visibleSince = document.hidden ? null : shownAt;
}

/** Without a pair there is nothing to answer. */
function lock() {
  for (const button of document.querySelectorAll(".verdicts button, [data-action=skip], [data-action=pause], #slightly, #edit-button")) button.disabled = !pair;
  at("marks").disabled = !pair?.has_marks;
}

function showOptions({ has_strength, has_comment, has_editing, is_warned, guidelines_version }) {
  has = { strength: has_strength, comment: has_comment, editing: has_editing };
  at("slightly").hidden = !has_strength;
  at("comment-field").hidden = !has_comment;
  at("edit-button").hidden = !has_editing;
  editor.close();
  at("warning").hidden = !is_warned;
  setSlight(false);
  at("comment").value = "";
  if (document.activeElement === at("comment")) at("comment").blur();
  for (const name of Object.keys(has)) document.querySelector(`[data-option=${name}]`).hidden = !has[name];
  if (guidelines_version !== guidelinesVersion) showGuidelines();
}

/** Guidelines that have changed since they were read open by themselves, and say so. */
async function showGuidelines() {
  const { version, html } = await persistently("/guidelines", null, "The guidelines are asked for again.");
  guidelinesVersion = version;
  at("guidelines").hidden = !html;
  document.querySelector("[data-option=guidelines]").hidden = !html;
  at("guidelines-text").innerHTML = html; // sanitised by the server, as the responses are
  const isNews = version !== null && kept(READ) !== null && kept(READ) !== version;
  at("guidelines-news").hidden = !isNews;
  at("guidelines").open = isNews || (kept(GUIDELINES) ?? !matchMedia("(max-width: 820px)").matches);
  if (isNews) notify(html ? "The guidelines have changed; please read them." : "There are no guidelines any more.", true);
  if (version !== null) keep(READ, version);
}

function showPair() {
  at("prompt").replaceChildren(...pair.prompt.map((turn) => turnElement(turn, pair.prompt.length > 1)));
  // The server has sanitised these; the page's policy lets no script of theirs run either.
  at("left-text").innerHTML = pair.left;
  at("right-text").innerHTML = pair.right;
  for (const id of ["left-text", "right-text"]) at(id).scrollTop = 0;
  // Of a dialogue the last turn is the one answered.
  at("prompt").scrollTop = pair.prompt.length > 1 ? at("prompt").scrollHeight : 0;
  scrollTo(0, 0);
}

function turnElement({ role, html }, isTurn) {
  const turn = document.createElement("div");
  const title = document.createElement("h2");
  const text = document.createElement("div");
  title.textContent = isTurn ? { user: "User", assistant: "Assistant", system: "System" }[role] ?? role : "Prompt";
  turn.className = isTurn ? "turn" : "";
  text.className = "text";
  text.dir = "auto";
  text.innerHTML = html;
  turn.append(title, text);
  return turn;
}

function showProgress({ wanted_count, done_count, own_count, pace_s, left_s }) {
  at("bar").max = wanted_count || 1;
  at("bar").value = done_count;
  at("count").textContent = `${number(done_count)} of ${number(wanted_count)} done · ${number(own_count)} by you`;
  at("pace").textContent = pace_s === null ? "" : `${duration(pace_s)} a pair${left_s > 0 ? ` · ${duration(left_s)} left` : ""}`;
  announce(`${number(done_count)} of ${number(wanted_count)} done.`, true);
}

function showRest({ state, progress }) {
  const [title, text] = state === "open" ? finished(progress) : REST[state];
  at("finished-title").textContent = title;
  at("finished-text").textContent = text;
  at("resume").hidden = state !== "paused";
  at("again").hidden = state === "paused" || state === "stopped" || (state === "open" && !progress.open_count);
  at("finished-title").focus();
}

const REST = {
  paused: ["You are having a break", "The pair that lay before you has gone back; somebody else may have it meanwhile. All your verdicts are stored. You can close this page, or go on whenever you like."],
  closed: ["This queue is closed", "It takes no verdicts for now. All that you gave are stored. Whoever leads this work can open it again."],
  stopped: ["Thank you, that is enough for now", "Your verdicts differ often from those that are known for certain, so this queue gives you no more pairs for the moment. It may well be that the guidelines are unclear: please talk to whoever leads this work, who sees this too and can let you go on."],
};

function finished({ pair_count, wanted_count, done_count, own_count, open_count }) {
  if (open_count) return ["Nothing left for you", `You have been through every pair that is free. ${number(open_count)} of ${number(pair_count)} still wait for other people, or lie before them now. Look again later, or undo your last verdict below.`];
  return ["Every pair is labelled", `Everything is stored: ${number(done_count)} of ${number(wanted_count)} done, ${number(own_count)} by you. You can close this page; whoever runs Antipode turns the verdicts into preferences and exports them.`];
}

const number = (value) => value.toLocaleString("en");

function duration(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${number(Math.floor(minutes / 60))} h ${minutes % 60} min`;
}

function announce(text, isAdded = false) {
  at("announcement").textContent = isAdded ? `${at("announcement").textContent} ${text}` : text;
}

function notify(text, isAlarm = false) {
  clearTimeout(noticeTimer);
  at("notice").textContent = text;
  at("notice").className = isAlarm ? "alarm" : "";
  at("notice").hidden = false;
  if (!isAlarm) noticeTimer = setTimeout(() => { at("notice").hidden = true; }, NOTICE_MS);
}

function visibleSeconds() {
  return (seenMs + (visibleSince === null ? 0 : performance.now() - visibleSince)) / 1000;
}

/* Events */

document.addEventListener("visibilitychange", () => {
  if (document.hidden) seenMs = visibleSeconds() * 1000;
  visibleSince = document.hidden ? null : performance.now();
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || at("help").open || at("edit").open) return;
  if (event.target === at("comment")) {
    if (event.key === "Escape") at("comment").blur();
    return;
  }
  // A key that is held would go on labelling, Enter on a button too.
  if (event.repeat) {
    if (event.target.closest("button")) event.preventDefault();
    return;
  }
  const key = event.key.toLowerCase();
  const action = KEYS[key] ?? (/^[a-z0-9]$/.test(key) ? undefined : PLACES[event.code]);
  if (!action) return;
  event.preventDefault();
  act(action);
});

document.addEventListener("click", (event) => {
  const action = event.target.closest("[data-action]")?.dataset.action;
  if (action) act(action);
});

tabs.addEventListener("message", ({ data }) => hear(data));
at("guidelines").addEventListener("click", (event) => {
  if (event.target.closest("summary")) keep(GUIDELINES, !at("guidelines").open);
});
at("help-button").addEventListener("click", () => act("help"));
setMarks(kept(MARKS) ?? true);
const unsent = kept(PENDING);
if (unsent) deliver(unsent);
else resume();
