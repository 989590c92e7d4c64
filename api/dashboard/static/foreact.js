// The page is whole without this: it keeps the living part fresh, sends what is clicked, and switches the theme.
"use strict";

const REFRESH_MS = 5000;

const stored = localStorage.getItem("theme");
const preferred = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
document.documentElement.dataset.theme = stored || preferred;

function toast(text, detail, isBad, link) {
  const box = document.createElement("div");
  box.className = isBad ? "toast bad" : "toast";
  box.textContent = text;
  if (detail) box.appendChild(document.createElement("small")).textContent = detail;
  if (link) {
    const anchor = box.appendChild(document.createElement("a"));
    anchor.href = link;
    anchor.textContent = "Open the flow run";
  }
  document.getElementById("toasts").appendChild(box);
  setTimeout(() => box.remove(), isBad ? 9000 : 5000);
}

async function refresh() {
  const live = document.getElementById("live");
  if (!live || document.hidden) return;
  const away = document.getElementById("away");
  try {
    const answer = await fetch(live.dataset.source);
    if (!answer.ok) throw new Error(answer.status);
    const text = await answer.text();
    const left = document.activeElement && live.contains(document.activeElement) ? document.activeElement.dataset.post : null;
    if (live.innerHTML !== text) live.innerHTML = text;
    if (left) live.querySelector(`[data-post="${CSS.escape(left)}"]`)?.focus();
    away.hidden = true;
  } catch {
    away.hidden = false;
  }
}

async function send(button) {
  if (button.dataset.confirm && !confirm(button.dataset.confirm)) return;
  button.disabled = true;
  const body = button.dataset.body;
  try {
    const answer = await fetch(button.dataset.post, {
      method: "POST",
      body: body,
      headers: body ? { "Content-Type": "application/json" } : {},
    });
    const told = await answer.json();
    if (answer.ok) toast(told.done || "Done", told.note, false, told.flow_run_url);
    else toast(told.detail, told.remedy, true);
    if (answer.ok && !document.getElementById("live")) location.reload();
  } catch {
    toast("The facade does not answer.", "Nothing changed; try again.", true);
  }
  button.disabled = false;
  await refresh();
}

document.addEventListener("DOMContentLoaded", () => {
  document.getElementById("theme").addEventListener("click", () => {
    const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    localStorage.setItem("theme", theme);
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-post]");
    if (button) send(button);
  });
  document.addEventListener("visibilitychange", refresh);
  setInterval(refresh, REFRESH_MS);
});
