// The loop as it stands, live: the server sends its part of the page anew whenever something has changed.
const loop = document.querySelector("#loop");
const live = document.querySelector("#live");
const AGAIN_MS = 5000;

function follow() {
  const events = new EventSource("/events");
  events.addEventListener("open", () => { live.textContent = ""; });
  events.addEventListener("message", (event) => {
    const focused = loop.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    loop.innerHTML = JSON.parse(event.data);
    if (focused) loop.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  });
  events.addEventListener("error", () => {
    live.textContent = "The server does not answer; this is what was known last.";
    if (events.readyState === EventSource.CLOSED) setTimeout(follow, AGAIN_MS);
  });
}

follow();
