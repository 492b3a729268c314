// Forms of the workbench: sent as JSON, since a change must be that; the answer says where to go, or what does not fit.
const notice = document.querySelector("#notice");
const SHOWN_MS = 10_000;
let hiding;

export function say(words, isAlarm = false) {
  notice.textContent = words;
  notice.classList.toggle("alarm", isAlarm);
  notice.setAttribute("role", isAlarm ? "alert" : "status");
  notice.hidden = !words;
  clearTimeout(hiding);
  if (!isAlarm) hiding = setTimeout(() => { notice.hidden = true; }, SHOWN_MS);
}

// Fields by name; a checkbox is true or false, a number is one, several of a name are a list, an empty field is left out.
function valuesOf(form) {
  const values = {};
  for (const field of form.elements) {
    if (!field.name || field.disabled || (field.type === "radio" && !field.checked)) continue;
    if (field.dataset.list !== undefined) {
      values[field.name] ??= [];
      if (field.checked) values[field.name].push(field.value);
    } else if (field.type === "checkbox") values[field.name] = field.checked;
    else if (field.dataset.whole !== undefined) values[field.name] = field.value; // an empty one is a value too
    else if (field.value !== "") values[field.name] = field.type === "number" || field.dataset.number !== undefined ? Number(field.value) : field.value;
  }
  return values;
}

export async function send(address, values) {
  let answer;
  try {
    answer = await fetch(address, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(values),
    });
  } catch {
    say("The server does not answer; nothing was changed. Try again.", true);
    return null;
  }
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    say(content.detail ?? `The server answered ${answer.status}.`, true);
    return null;
  }
  return content;
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if ((event.submitter?.getAttribute("formmethod") ?? form.method) !== "post") return;
  event.preventDefault();
  const question = event.submitter?.dataset.confirm;
  if (question && !window.confirm(question)) return;
  const buttons = [...form.querySelectorAll("button")];
  for (const button of buttons) button.disabled = true;
  // Not `formAction`: without the attribute that is the page's own address.
  const address = event.submitter?.getAttribute("formaction") || form.getAttribute("action");
  const content = await send(address, valuesOf(form));
  for (const button of buttons) button.disabled = false;
  if (!content) return;
  if (content.next) {
    if (content.words) sessionStorage.setItem("said", content.words);  // for the page that comes next
    location.assign(content.next);
  } else if (content.link) {
    const output = document.querySelector("#link");
    output.hidden = false;
    output.querySelector("strong").textContent = content.name;
    output.querySelector("input").value = content.link;
    output.querySelector("input").select();
  } else if (content.words) say(content.words);
  else location.reload();
});

say(sessionStorage.getItem("said") ?? "");
sessionStorage.removeItem("said");
