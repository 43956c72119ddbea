"use strict";
// Shows /openapi.json and lets a reader try each call. Text goes in as text, never as HTML.

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children.filter((child) => child !== null));
  return node;
}

function nameOf(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(nameOf).join(" | ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.type === "array") return `list of ${nameOf(schema.items) || "any"}`;
  return [schema.type || "any", schema.format].filter(Boolean).join(" ");
}

function link(schema) {
  const ref = schema.$ref || (schema.items && schema.items.$ref) ||
    ((schema.anyOf || []).find((choice) => choice.$ref) || {}).$ref;
  const text = nameOf(schema);
  return ref ? make("a", { href: `#schema-${ref.split("/").pop()}` }, text) : make("code", {}, text);
}

const BOUNDS = ["minimum", "maximum", "exclusiveMinimum", "minLength", "maxLength", "minItems",
  "maxItems", "pattern", "default"];

function notes(schema) {
  const all = [schema, ...(schema.anyOf || [])];
  const found = all.map((part) => part.description).filter(Boolean);
  for (const part of all)
    for (const bound of BOUNDS)
      if (part[bound] !== undefined && part[bound] !== null)
        found.push(`${bound} ${JSON.stringify(part[bound])}`);
  return found.join(" · ");
}

function rows(entries) {
  const body = make("tbody");
  for (const [name, schema, required] of entries)
    body.append(make("tr", {}, make("td", {}, make("code", {}, name), required ? " *" : ""),
      make("td", {}, link(schema)), make("td", { class: "soft" }, notes(schema))));
  return make("table", {}, body);
}

async function send(method, path, operation, form, out) {
  let address = path;
  const query = new URLSearchParams();
  for (const parameter of operation.parameters || []) {
    const value = form[parameter.name].value;
    if (parameter.in === "path") address = address.replace(`{${parameter.name}}`, encodeURIComponent(value));
    else if (value !== "") query.append(parameter.name, value);
  }
  const options = { method: method.toUpperCase() };
  if (form.body && form.body.value.trim()) {
    options.body = form.body.value;
    options.headers = { "content-type": "application/json" };
  }
  out.textContent = "…";
  try {
    const response = await fetch(query.size ? `${address}?${query}` : address, options);
    let text = await response.text();
    try { text = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON: shown as it is */ }
    out.textContent = `${response.status} ${response.statusText}\n\n${text}`;
  } catch (error) {
    out.textContent = String(error);
  }
}

function trial(method, path, operation) {
  const form = make("form");
  for (const parameter of operation.parameters || [])
    form.append(make("label", {}, `${parameter.name} `, make("input", { name: parameter.name, autocomplete: "off" })));
  if (operation.requestBody) {
    const content = operation.requestBody.content["application/json"];
    const area = make("textarea", { name: "body", spellcheck: "false", "aria-label": "Body" });
    if (content.example) area.value = JSON.stringify(content.example, null, 2);
    form.append(area);
  }
  const out = make("pre", { "aria-live": "polite" });
  form.append(make("button", {}, "Send"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(method, path, operation, form.elements, out);
  });
  return make("details", {}, make("summary", {}, "Try it"), form, out);
}

function operationOf(method, path, operation) {
  const node = make("details", { id: operation.operationId },
    make("summary", {}, make("span", { class: "method" }, method),
      make("span", { class: "path" }, path), make("span", { class: "soft" }, ` ${operation.summary}`)));
  if (operation.parameters)
    node.append(make("h3", {}, "Parameters"),
      rows(operation.parameters.map((one) => [one.name, one.schema, one.required])));
  if (operation.requestBody)
    node.append(make("h3", {}, "Body"), link(operation.requestBody.content["application/json"].schema));
  node.append(make("h3", {}, "Answers"), rows(Object.entries(operation.responses).map(
    ([status, one]) => [status, { ...Object.values(one.content)[0].schema, description: one.description }])));
  node.append(trial(method, path, operation));
  return node;
}

function show(spec) {
  document.getElementById("title").textContent = `${spec.info.title} API ${spec.info.version}`;
  document.getElementById("about").textContent = spec.info.description;
  const index = document.getElementById("index");
  const main = document.getElementById("operations");
  for (const tag of spec.tags) {
    main.append(make("h2", {}, tag.name));
    for (const [path, methods] of Object.entries(spec.paths))
      for (const [method, operation] of Object.entries(methods)) {
        if (operation.tags[0] !== tag.name) continue;
        index.append(make("a", { href: `#${operation.operationId}` },
          make("span", { class: "method" }, method), make("span", { class: "path" }, path)));
        main.append(operationOf(method, path, operation));
      }
  }
  const schemas = document.getElementById("schemas");
  for (const [name, schema] of Object.entries(spec.components.schemas)) {
    const required = new Set(schema.required || []);
    schemas.append(make("details", { id: `schema-${name}` },
      make("summary", {}, make("code", {}, name)), make("p", {}, schema.description || ""),
      schema.enum ? make("code", {}, nameOf(schema)) : rows(Object.entries(schema.properties || {})
        .map(([field, one]) => [field, one, required.has(field)]))));
  }
  reveal();
}

function reveal() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) target.open = true;
}

addEventListener("hashchange", reveal);
fetch("/openapi.json").then((response) => response.json()).then(show);
