// The loop as it stands, live: the server sends its part of the page anew whenever something has changed.
const loop = document.querySelector("#loop");
const live = document.querySelector("#live");
const AGAIN_MS = 5000;

function follow() {
  const events = new EventSource("/events");
  let silence;
  events.addEventListener("open", () => { silence = clearTimeout(silence); live.textContent = ""; });
  events.addEventListener("message", (event) => {
    const focused = loop.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    loop.innerHTML = JSON.parse(event.data);
    if (focused) loop.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  });
  events.addEventListener("error", () => {
    // The server ends each connection after some minutes, and the browser comes again at once: that is no news.
    silence ??= setTimeout(() => { live.textContent = "The server does not answer; this is what was known last."; }, AGAIN_MS);
    if (events.readyState === EventSource.CLOSED) setTimeout(again, AGAIN_MS);
  });
}

// Who was signed out, or leads no longer, is shown so by the page itself.
async function again() {
  const answer = await fetch("/", { headers: { Accept: "text/html" } }).catch(() => null);
  if (answer && (answer.status === 401 || answer.status === 403)) location.reload();
  else follow();
}

follow();
