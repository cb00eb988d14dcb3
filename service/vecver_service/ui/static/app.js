// Keys and copying. Every page works without this file.
"use strict";

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) navigator.clipboard.writeText(button.dataset.copy).then(() => {
    const before = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = before; }, 1200);
  });
});

let first = "";  // of two keys, such as g h
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const keys = first + event.key;
  first = event.key === "g" ? "g" : "";
  const named = `[data-key~="${CSS.escape(keys)}"]`;
  const link = document.querySelector("input" + named) || document.querySelector(named);
  if (link) { event.preventDefault(); link.matches("input") ? link.focus() : link.click(); return; }
  if (event.key === "j" || event.key === "k") move(event.key === "j" ? 1 : -1);
  if (event.key === "?") document.querySelector("#keys").showModal();
});

function move(step) {
  const rows = [...document.querySelectorAll("[data-row]")];
  if (!rows.length) return;
  const at = rows.indexOf(document.activeElement.closest("[data-row]"));
  const next = rows[Math.min(rows.length - 1, Math.max(0, at + step))];
  (next.querySelector("a") || next).focus();
}

// A part of the page that changes by itself: it is read again each second, until it no longer says that it changes.
async function follow() {
  const unreachable = document.querySelector("#unreachable");
  while (document.querySelector("[data-live]")) {
    await new Promise((resolve) => setTimeout(resolve, 1000));
    try {
      const answer = await fetch(location.href, { credentials: "same-origin" });
      if (answer.status >= 500) throw new Error("a service, or a proxy before one, that is not ready");
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const part = page.querySelector("#live");
      if (!part) { location.reload(); return; }
      document.querySelector("#live").replaceWith(document.adoptNode(part));
      document.title = page.title;
      unreachable.hidden = true;
    } catch { unreachable.hidden = false; }
  }
}
follow();

// Files that are dropped on a form with a file field.
for (const form of document.querySelectorAll("[data-drop]")) {
  const field = form.querySelector("input[type=file]");
  form.addEventListener("dragover", (event) => { event.preventDefault(); form.classList.add("over"); });
  form.addEventListener("dragleave", () => form.classList.remove("over"));
  form.addEventListener("drop", (event) => { event.preventDefault(); field.files = event.dataTransfer.files; form.requestSubmit(); });
}
