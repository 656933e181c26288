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
