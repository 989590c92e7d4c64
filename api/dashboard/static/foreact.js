// The page is whole without this: it keeps the living part fresh, sends what is clicked, and switches the theme.
"use strict";

const REFRESH_MS = 5000;
const MINUTE_S = 60, HOUR_S = 3600, DAY_S = 86400;

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

// How far a moment lies from now, in words like those of the server; the time of day in the viewer's zone.
function distance(seconds) {
  const size = Math.abs(seconds);
  if (size < 5) return "now";
  const [unit, length] = size >= 0.9917 * DAY_S ? ["day", DAY_S] : size >= 0.9917 * HOUR_S ? ["hour", HOUR_S]
    : size >= 0.9917 * MINUTE_S ? ["minute", MINUTE_S] : ["s", 1];
  const isHalved = unit !== "minute" && unit !== "s" && size < 10 * length;
  const count = isHalved ? Math.round((2 * size) / length) / 2 : Math.round(size / length);
  const told = unit === "s" ? `${count} s` : `${count} ${unit}${count === 1 ? "" : "s"}`;
  return seconds > 0 ? `in ${told}` : `${told} ago`;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const calendar = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

// The clock that counts is the facade's: a demo's stands at its end, and a viewer's may be wrong.
const ahead_ms = new Date(document.documentElement.dataset.now) - Date.now();

function tellTimes(root) {
  const now = Date.now() + ahead_ms;
  for (const each of root.querySelectorAll("time[datetime]")) {
    const at = new Date(each.dateTime);
    const seconds = (at - now) / 1000;
    const near = Math.abs(seconds) < DAY_S / 2;
    const text = each.className === "said" ? calendar.format(at) : Math.abs(seconds) < 5 * MINUTE_S ? distance(seconds) : `${distance(seconds)}, ${(near ? clock : calendar).format(at)}`;
    if (each.textContent !== text) each.textContent = text;
  }
}

const MOMENT = /(\d{4}-\d\d-\d\d) (\d\d:\d\d(?::\d\d)?) (?:UTC|\(UTC\))/;

// Sentences are kept as they were written, with moments in UTC; whoever reads them here is told by his own clock.
function tellMoments(root) {
  const walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT), found = [];
  while (walk.nextNode()) {
    const text = walk.currentNode;
    if (MOMENT.test(text.data) && !text.parentElement.closest("time, svg, pre, code, textarea, script")) found.push(text);
  }
  for (let text of found) {
    for (let match = MOMENT.exec(text.data); match; match = MOMENT.exec(text.data)) {
      const said = text.splitText(match.index), time = document.createElement("time");
      text = said.splitText(match[0].length);
      time.className = "said";
      time.dateTime = `${match[1]}T${match[2]}Z`;
      time.title = said.data;
      said.replaceWith(time);
    }
  }
}

// On a narrow screen a table is a list of records: each cell says under which head it stood.
function tellHeads(root) {
  for (const table of root.querySelectorAll(".scroll table")) {
    const heads = [...table.querySelectorAll("thead th")].map((each) => each.firstChild?.textContent.trim() || "");
    for (const row of table.tBodies[0]?.rows || []) [...row.cells].forEach((cell, at) => { if (heads[at] && cell.tagName === "TD") cell.dataset.head = heads[at]; });
    table.classList.add("headed");
  }
}

// The other pages: the one that is open stands out, and a click elsewhere or Escape closes the list of further ones.
function readyPages() {
  const further = document.querySelector(".further");
  for (const each of document.querySelectorAll("header nav a")) if (each.origin === location.origin && `${location.pathname}/`.startsWith(`${each.pathname}/`)) each.setAttribute("aria-current", "page");
  document.addEventListener("click", (event) => { if (!further.contains(event.target)) further.open = false; });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") further.open = false; });
}

function replacePanel(fresh) {
  const old = document.getElementById(fresh.id);
  if (!old) return;
  const active = document.activeElement;
  const held = active && old.contains(active) ? active.dataset.post || active.getAttribute("href") : null;
  const open = new Set([...old.querySelectorAll("details[open][id]")].map((each) => each.id));
  tellMoments(fresh);
  tellHeads(fresh);
  old.replaceWith(fresh);
  for (const each of fresh.querySelectorAll("details[id]")) if (open.has(each.id)) each.open = true;
  if (held) fresh.querySelector(`[data-post="${CSS.escape(held)}"], [href="${CSS.escape(held)}"]`)?.focus();
}

// Ask for what is no longer as it is shown; nothing comes where nothing changed.
async function refresh() {
  const live = document.getElementById("live");
  if (!live || document.hidden) return;
  const away = document.getElementById("away");
  try {
    const known = [...live.querySelectorAll(".panel")].map((each) => each.dataset.version).join(",");
    const answer = await fetch(`${live.dataset.source}?known=${encodeURIComponent(known)}`);
    if (!answer.ok) throw new Error(answer.status);
    if (answer.status === 200) {
      const sheet = document.createElement("template");
      sheet.innerHTML = await answer.text();
      for (const fresh of [...sheet.content.querySelectorAll(".panel")]) replacePanel(fresh);
    }
    tellTimes(live);
    away.hidden = true;
  } catch {
    away.hidden = false;
  }
}

function fieldValue(field) {
  if (field.dataset.kind === "boolean") return field.checked;
  if (field.dataset.kind === "number") return field.value === "" ? null : Number(field.value);
  return field.dataset.kind === "json" ? JSON.parse(field.value || "null") : field.value;
}

// Return what a person changed of the planned parameters, or null; a field that cannot be read says so.
function changed(form) {
  const params = {};
  for (const field of form.querySelectorAll("[data-name]")) {
    const planned = JSON.parse(field.dataset.planned);
    let value;
    try {
      value = fieldValue(field);
      field.setCustomValidity("");
    } catch {
      field.setCustomValidity("Write it as JSON: numbers as they are, words in double quotes.");
    }
    if (!field.reportValidity()) return undefined;
    const isUntouched = planned === null && (value === "" || value === null || value === false);
    if (!isUntouched && JSON.stringify(value) !== JSON.stringify(planned)) params[field.dataset.name] = value;
  }
  return Object.keys(params).length ? params : null;
}

// Ask who does this and why; resolves to null where it is left.
function ask(title, params) {
  const dialog = document.getElementById("ask");
  const form = dialog.querySelector("form");
  document.getElementById("ask-title").textContent = title;
  const told = document.getElementById("ask-changes");
  told.hidden = !params;
  told.textContent = params ? `Changed: ${Object.entries(params).map(([name, value]) => `${name} = ${JSON.stringify(value)}`).join(", ")}` : "";
  form.elements.by.value = localStorage.getItem("name") || "";
  form.elements.note.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      if (dialog.returnValue !== "go") return resolve(null);
      const by = form.elements.by.value.trim();
      localStorage.setItem("name", by);
      resolve({ by, note: form.elements.note.value.trim() });
    }, { once: true });
  });
}

// The filled fields of a form as JSON; null where one does not hold what it asks for.
function fieldsOf(form) {
  if (!form.reportValidity()) return null;
  const filled = [...form.elements].filter((each) => each.name && each.value !== "");
  return Object.fromEntries(filled.map((each) => [each.name, each.type === "number" ? Number(each.value) : each.value]));
}

// What a click sends: what the button holds, what its form was filled with, and who asks for it and why.
async function bodyOf(button) {
  const { ask: question, fields, form, body } = button.dataset;
  const filled = fields ? fieldsOf(document.getElementById(fields)) : {};
  const params = form ? changed(document.getElementById(form)) : null;
  if (filled === null || params === undefined) return null;
  const sent = { ...JSON.parse(body || "{}"), ...filled, ...(params ? { params } : {}) };
  if (!question) return fields || body ? sent : undefined;
  const answer = await ask(question, params || (fields ? filled : null));
  return answer && { ...sent, ...answer };
}

async function send(button) {
  const { post, put, remove, then, named } = button.dataset;
  const method = put ? "PUT" : remove ? "DELETE" : "POST";
  let address = post || put || remove;
  const body = await bodyOf(button);
  if (body === null) return;
  // What is set anew has its name in the form, and in its address.
  const name = named ? encodeURIComponent(body[named]) : "";
  if (named) delete body[named];
  address += name;
  if (!post) {
    // What is put or removed is the thing itself: who did it and why stand beside it.
    const { by, note } = body;
    address += `?${new URLSearchParams({ by, note })}`;
    delete body.by;
    delete body.note;
  }
  button.disabled = true;
  try {
    const answer = await fetch(address, {
      method,
      body: remove ? undefined : body && JSON.stringify(body),
      headers: body && !remove ? { "Content-Type": "application/json" } : {},
    });
    const told = answer.status === 204 ? {} : await answer.json();
    if (answer.ok) toast(told.done || "Done", told.note || (told.warnings || []).join(" "), false, told.flow_run_url);
    else toast(told.detail, told.remedy, true);
    if (answer.ok && !document.getElementById("live")) setTimeout(() => (then ? location.assign(then + name) : location.reload()), 800);
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
    document.dispatchEvent(new Event("themechange"));
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-post], button[data-put], button[data-remove]");
    if (button) send(button);
  });
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.closest("input, textarea, select, dialog");
    if (event.key === "/" && !isTyping) {
      event.preventDefault();
      document.querySelector(".find input").focus();
    }
  });
  for (const form of document.querySelectorAll("form.fields")) form.addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("visibilitychange", refresh);
  readyPages();
  tellHeads(document);
  tellMoments(document.getElementById("main"));
  tellTimes(document);
  setInterval(() => (document.getElementById("live") ? refresh() : tellTimes(document)), REFRESH_MS);
});
