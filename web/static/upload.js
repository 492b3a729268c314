// A file for an import: sent as it is, with its progress; then its place is what the form imports.
import { say } from "./workbench.js";

const chooser = document.querySelector("#file");
const bar = document.querySelector("#uploading");

chooser?.addEventListener("change", upload);
if (chooser?.files.length) upload(); // chosen before this was loaded

function upload() {
  const [file] = chooser.files;
  if (!file) return;
  const request = new XMLHttpRequest();
  request.open("POST", `/uploads?name=${encodeURIComponent(file.name)}`);
  request.setRequestHeader("Content-Type", "application/octet-stream");
  request.responseType = "json";
  bar.hidden = false;
  request.upload.addEventListener("progress", (event) => { bar.value = event.loaded / Math.max(event.total, 1); });
  request.addEventListener("loadend", () => {
    bar.hidden = true;
    if (request.status !== 200) {
      say(request.response?.detail ?? "The server does not answer; nothing was uploaded. Try again.", true);
      return;
    }
    document.querySelector("[name=source]").value = request.response.path;
    say(`${request.response.name} is here; import it below`);
  });
  request.send(file);
}
