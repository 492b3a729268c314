// The dialog in which a person makes a response better. It knows the pair and how to save, nothing of queues.

const at = (id) => document.getElementById(id);
const TITLE = "Make a response better";

/** `load` and `save` ask the server, `pair` is what lies before the person, `reason` says why something failed. */
export function makeEditor({ load, save, pair, notify, reason }) {
  let texts = {}; // by response id, as they were written
  const side = () => at("edit-form").elements.side.value;
  const fill = () => { at("edit-text").value = texts[pair()[`${side()}_id`]]; };

  async function open() {
    try {
      ({ texts } = await load());
    } catch (error) {
      return notify(`Nothing to edit: ${reason(error)}.`, true);
    }
    if (!pair() || !(pair().left_id in texts)) return notify("This pair no longer lies before you; reload the page.", true);
    at("edit-title").textContent = TITLE;
    fill();
    return at("edit").showModal();
  }

  async function submit(event) {
    event.preventDefault();
    const { left_id, right_id, shown_at } = pair();
    at("edit-save").disabled = true;
    try {
      const { is_stored } = await save({ left_id, right_id, shown_at, side: side(), text: at("edit-text").value });
      close();
      notify(is_stored ? "Stored as a better response. The pair still waits for your verdict." : "This is the response as it was; no edit of yours is stored.");
    } catch (error) {
      at("edit-title").textContent = `Not stored: ${reason(error)}`; // what was written stays in the dialog
    } finally {
      at("edit-save").disabled = false;
    }
  }

  const close = () => at("edit").close();
  at("edit-form").addEventListener("submit", submit);
  at("edit-form").addEventListener("change", (event) => event.target.name === "side" && fill());
  at("edit-cancel").addEventListener("click", close);
  return { open, close };
}
