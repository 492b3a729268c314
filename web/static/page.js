// The labelling page: shows a pair, sends a verdict, shows the pair that comes back.
// A verdict is kept in the browser until the server has stored it: no network and no reload loses one.

const QUEUE = `/queues/${document.body.dataset.queue}`;
const PERSON = document.body.dataset.person;
// The mark tells this queue from another site's that was at the same address before.
const PENDING = `antipode verdict ${document.body.dataset.mark} ${PERSON}`;
const MARKS = "antipode marks";
const UNSEEN_MS = 150; // nobody judges a pair this fast: a key in this time was meant for the one before
const PATIENCE_MS = 20_000;
const LONGEST_WAIT_MS = 15_000;
const NOTICE_MS = 4_000;

const KEYS = { 1: "left", 2: "right", 0: "tie", x: "both_bad", s: "skip", u: "undo", d: "marks", "?": "help" };
// Where a layout has no such letter or digit on the key, its place counts.
const PLACES = { Digit1: "left", Digit2: "right", Digit0: "tie", KeyX: "both_bad", KeyS: "skip", KeyU: "undo", KeyD: "marks" };
const SAID = { left: "Response 1 is better", right: "Response 2 is better", tie: "Tie", both_bad: "Both bad", skip: "Skipped" };

const at = (id) => document.getElementById(id);
let pair = null;
let isBusy = true;
let shownAt = 0;
let seenMs = 0; // time the pair was visible until `visibleSince`
let visibleSince = null;
let noticeTimer = 0;

class Refused extends Error {}
class SignedOut extends Refused {}
class Unanswered extends Error {}

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
      await pause(Math.min(LONGEST_WAIT_MS, 1000 * 2 ** attempt));
    }
  }
}

function pause(ms) {
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
  return deliver({ person: PERSON, left_id, right_id, shown_at, verdict, seconds: visibleSeconds() });
}

function deliver(verdict) {
  const said = SAID[verdict.verdict];
  document.body.dataset.verdict = verdict.verdict;
  keep(PENDING, verdict);
  return exclusively(async () => {
    try {
      const content = await persistently("/verdicts", verdict, `“${said}” is kept and sent again.`);
      keep(PENDING, null);
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

function setMarks(isOn) {
  document.body.dataset.marks = isOn ? "on" : "off";
  at("marks").setAttribute("aria-pressed", String(isOn));
  keep(MARKS, isOn);
}

function act(action) {
  if (action === "help") return at("help").showModal();
  if (action === "marks") return at("marks").disabled || setMarks(document.body.dataset.marks === "off");
  if (isBusy || performance.now() - shownAt < UNSEEN_MS) return undefined;
  if (action === "undo") return undo();
  return pair && judge(action);
}

/* Showing */

function show(content) {
  pair = content.pair;
  showProgress(content.progress);
  at("work").hidden = !pair;
  at("finished").hidden = Boolean(pair);
  for (const button of document.querySelectorAll(".verdicts button, [data-action=skip]")) button.disabled = !pair;
  at("marks").disabled = !pair?.has_marks;
  at("marks").title = pair && !pair.has_marks ? "The responses share too little, or nothing differs" : "";
  if (pair) showPair();
  else showFinished(content.progress);
  shownAt = performance.now();
  seenMs = 0;
  visibleSince = document.hidden ? null : shownAt;
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

function showProgress({ pair_count, done_count, own_count, pace_s, left_s }) {
  at("bar").max = pair_count;
  at("bar").value = done_count;
  at("count").textContent = `${number(done_count)} of ${number(pair_count)} done · ${number(own_count)} by you`;
  at("pace").textContent = pace_s === null ? "" : `${duration(pace_s)} a pair${left_s > 0 ? ` · ${duration(left_s)} left` : ""}`;
  announce(`${number(done_count)} of ${number(pair_count)} done.`, true);
}

function showFinished({ pair_count, done_count, own_count }) {
  const rest = pair_count - done_count;
  at("finished-title").textContent = rest ? "Nothing left for you" : "Every pair is labelled";
  at("finished-text").textContent = rest
    ? `You have been through every pair that is free. ${number(rest)} of ${number(pair_count)} still wait for other people, or lie before them now. Look again later, or undo your last verdict below.`
    : `Everything is stored: ${number(done_count)} of ${number(pair_count)} done, ${number(own_count)} by you. You can close this page; whoever runs Antipode turns the verdicts into preferences and exports them.`;
  at("again").hidden = !rest;
  at("finished-title").focus();
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
  if (event.ctrlKey || event.metaKey || event.altKey || at("help").open) return;
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

at("help-button").addEventListener("click", () => act("help"));
setMarks(kept(MARKS) ?? true);
const unsent = kept(PENDING);
if (unsent) deliver(unsent);
else exclusively(() => persistently("/pair", null, "Trying again."));
