// What makes consoles quicker: a question before what cannot be taken back, and a form that is sent once.
"use strict";
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sure && !confirm(form.dataset.sure)) {
    event.preventDefault();
    return;
  }
  if (form.method !== "post") return;
  const button = form.querySelector("button");
  if (button) setTimeout(() => { button.disabled = true; }, 0);
});
// A file's text into the field that is sent, where a script can; without one it is pasted.
document.querySelectorAll("[data-file-into]").forEach((box) => {
  const field = document.getElementById(box.dataset.fileInto);
  const input = box.querySelector("input[type=file]");
  if (!field || !input) return;
  box.hidden = false;
  input.addEventListener("change", async () => {
    if (input.files.length) field.value = await input.files[0].text();
  });
});
