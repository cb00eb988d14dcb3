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
  const link = document.querySelector(`[data-key="${CSS.escape(keys)}"]`);
  if (link) { event.preventDefault(); link.matches("input") ? link.focus() : link.click(); return; }
  if (event.key === "j" || event.key === "k") move(event.key === "j" ? 1 : -1);
  if (event.key === "?") document.querySelector("#keys")?.showModal();
});

function move(step) {
  const rows = [...document.querySelectorAll("[data-row]")];
  if (!rows.length) return;
  const at = rows.indexOf(document.activeElement.closest("[data-row]"));
  const next = rows[Math.min(rows.length - 1, Math.max(0, at + step))];
  (next.querySelector("a") || next).focus();
}
