// What was said of a pair before it came to be settled. Texts are people's own: they are set as text, never as HTML.

const WORDS = { left: "1 is better", right: "2 is better", tie: "Tie", both_bad: "Both bad" };

export function showVotes(place, votes) {
  place.hidden = !votes.length;
  place.querySelector("ul").replaceChildren(...votes.map(item));
  place.scrollTop = 0;
}

function item({ verdict, is_slight, is_turned, comment, machine }) {
  const line = document.createElement("li");
  line.append(
    element("strong", is_slight ? `${WORDS[verdict]}, slightly` : WORDS[verdict]),
    element("span", `${machine ?? "a person"}${is_turned ? ", with 1 and 2 the other way round" : ""}`, "quiet"),
  );
  if (comment) line.append(element("p", comment));
  return line;
}

function element(name, text, kind = "") {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = kind;
  made.dir = "auto";
  return made;
}
