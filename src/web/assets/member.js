// What a conversion would give, while one types: asks for the part of the page that the form's own button would show.
"use strict";
(() => {
  const form = document.querySelector("form[data-live]");
  const place = document.getElementById("offer");
  if (form && place) {
    let timer = 0;
    let asked = null;
    const ask = async () => {
      const query = new URLSearchParams(new FormData(form));
      if (!String(query.get("points") || "").trim()) {
        place.replaceChildren();
        return;
      }
      if (asked) asked.abort();
      asked = new AbortController();
      try {
        const answer = await fetch(`${form.dataset.live}?${query}`, { signal: asked.signal, headers: { accept: "text/html" } });
        if (answer.status === 401) {
          location.reload();
          return;
        }
        if (answer.ok) place.innerHTML = await answer.text();
      } catch (error) {
        // Overtaken by the next one, or no connection: the form's own button still works.
        if (error.name !== "AbortError") place.replaceChildren();
      }
    };
    const soon = () => {
      // What is shown belongs to what was typed before: nobody confirms it while the next is on its way.
      const confirm = document.getElementById("confirm");
      if (confirm) confirm.disabled = true;
      clearTimeout(timer);
      timer = setTimeout(ask, 250);
    };
    form.addEventListener("input", soon);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      clearTimeout(timer);
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
