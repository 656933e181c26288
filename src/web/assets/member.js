// What a conversion would give, while one types: asks for the part of the page that the form's own button would show.
"use strict";
(() => {
  const form = document.querySelector("form[data-live]");
  const place = document.getElementById("offer");
  if (form && place) {
    let timer = 0;
    let asked = null;
    // No answer has come to the last question: the form is sent as it is without a script.
    let plain = false;
    const stop = () => {
      clearTimeout(timer);
      if (asked) asked.abort();
      asked = null;
    };
    const show = (part) => {
      plain = part === null;
      if (plain) place.replaceChildren();
      else place.innerHTML = part;
    };
    const ask = async () => {
      stop();
      const query = new URLSearchParams(new FormData(form));
      if (!String(query.get("points") || "").trim()) {
        place.replaceChildren();
        return;
      }
      const own = new AbortController();
      asked = own;
      let part = null;
      try {
        const answer = await fetch(`${form.dataset.live}?${query}`, { signal: own.signal, headers: { accept: "text/html" } });
        if (answer.status === 401) {
          location.reload();
          return;
        }
        if (answer.ok) part = await answer.text();
      } catch { /* no connection, or overtaken by the next one */ }
      // What is overtaken says nothing of what is in the field now.
      if (asked === own) show(part);
    };
    const soon = () => {
      stop();
      // What is shown belongs to what was typed before: nobody confirms it while the next is on its way.
      const confirm = document.getElementById("confirm");
      if (confirm) confirm.disabled = true;
      timer = setTimeout(ask, 250);
    };
    form.addEventListener("input", soon);
    form.addEventListener("submit", (event) => {
      if (plain) return;
      event.preventDefault();
      ask();
    });
  }
  // A form is sent once, however often its button is pressed.
  document.addEventListener("submit", (event) => {
    if (event.defaultPrevented || event.target.method !== "post") return;
    const button = event.target.querySelector("button");
    if (button) setTimeout(() => { button.disabled = true; }, 0);
  });
})();
