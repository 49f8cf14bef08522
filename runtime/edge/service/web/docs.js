// The OpenAPI document as a page: an operation each, with a line to copy.

const EXAMPLES = {
  predict: "curl --data-binary @digit.png ORIGIN/predict?top=3",
  read: "curl --data-binary @page.jpg ORIGIN/read",
  explain: "curl --data-binary @digit.png ORIGIN/explain",
};

function element(kind, text, ...children) {
  const made = document.createElement(kind);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
}

function operation(path, method, facts) {
  const section = element("section");
  const title = element("h2");
  const word = element("span", method.toUpperCase());
  word.className = "method";
  title.append(word, ` ${path}`);
  section.append(title, element("p", facts.summary));
  if (facts.description) section.append(element("p", facts.description));
  const rows = [
    ...(facts.parameters ?? []).map((each) => [each.name, `${each.in}: ${each.description ?? ""}`]),
    ...Object.entries(facts.responses).map(([code, response]) => [code, response.description]),
  ];
  section.append(element("table", "", ...rows.map((row) => element("tr", "", ...row.map((cell) => element("td", cell))))));
  const example = EXAMPLES[facts.operationId] ?? (method === "get" ? `curl ORIGIN${path}` : null);
  if (example) section.append(element("pre", example.replace("ORIGIN", location.origin)));
  return section;
}

const document_ = await (await fetch("/openapi.json")).json();
const main = document.getElementById("operations");
main.append(element("p", document_.info.description));
for (const [path, methods] of Object.entries(document_.paths)) {
  for (const [method, facts] of Object.entries(methods)) main.append(operation(path, method, facts));
}
