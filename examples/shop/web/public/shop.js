// Shows the items and, below them, which replica answered how often: watch it while you kill a box.
const byId = (id) => document.getElementById(id);
const answers = new Map();
let count = 0, failed = 0;

function element(name, className, text) {
  const node = document.createElement(name);
  if (className) node.className = className;
  node.textContent = text;
  return node;
}

function showItems(items, currency) {
  const price = new Intl.NumberFormat(undefined, { style: "currency", currency });
  byId("items").replaceChildren(...items.map((item) => {
    const card = element("article", "item", "");
    card.append(element("h2", "", item.name), element("p", "", item.about),
      element("span", "price", price.format(item.cents / 100)));
    return card;
  }));
}

function showReplicas() {
  const sorted = [...answers].sort(([a], [b]) => a.localeCompare(b));
  byId("replicas").replaceChildren(...sorted.map(([name, times]) => element("li", "", `${name}: ${times}`)));
}

async function ask() {
  const began = performance.now();
  try {
    const response = await fetch("api/items", { cache: "no-store" });
    if (!response.ok) throw new Error(`status ${response.status}`);
    const body = await response.json();
    count += 1;
    answers.set(body.replica, (answers.get(body.replica) ?? 0) + 1);
    showItems(body.items, body.currency);
    showReplicas();
    byId("api").textContent = `${body.replica} on ${body.node}`;
    byId("web").textContent = response.headers.get("X-Served-By") ?? "?";
  } catch (error) {
    failed += 1;
    byId("failed").className = "bad";
  }
  byId("count").textContent = count;
  byId("failed").textContent = failed;
  byId("took").textContent = Math.round(performance.now() - began);
  setTimeout(ask, 1000);
}

ask();
