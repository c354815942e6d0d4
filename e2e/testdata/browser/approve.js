// Plays approvers in a real browser. Reads commands from stdin, one a line as JSON,
// and answers each with a line; the test decides what happens in between.
const { chromium } = require(process.env.PLAYWRIGHT);
const readline = require("readline");

const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];
const base = process.env.WEB;
const contexts = {}, pages = {}, complaints = [];

const steps = {
  // open opens a browser of its own for somebody.
  async open({ who, phone, script }) {
    contexts[who] = await browser.newContext({ viewport: phone ? { width: 390, height: 844 } : { width: 1280, height: 900 },
      colorScheme: phone ? "dark" : "light", javaScriptEnabled: script !== false });
    const page = pages[who] = await contexts[who].newPage();
    page.on("pageerror", e => complaints.push(String(e)));
    page.on("console", m => { if (m.type() === "error") complaints.push(m.text()); });
    page.on("dialog", d => { complaints.push("dialog: " + d.message()); d.dismiss(); });
    await page.goto(base + "/requests");
    await page.getByLabel("Name").fill(who);
    await page.getByLabel("Password").fill("demo");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.waitForURL(base + "/requests");
    return "in";
  },
  // appears waits until something is shown, without loading the page again.
  async appears({ who, text }) {
    await pages[who].getByText(text).first().waitFor({ timeout: 30000 });
    return "yes";
  },
  async go({ who, path }) {
    const answer = await pages[who].goto(base + path);
    return String(answer.status());
  },
  async follow({ who, text }) {
    await pages[who].locator("a.request", { hasText: text }).first().click();
    await pages[who].waitForURL(/\/requests\/req-/);
    return await pages[who].locator("main").innerText();
  },
  async answer({ who, reason, button }) {
    await pages[who].getByLabel("Reason").fill(reason);
    await Promise.all([pages[who].waitForNavigation(), pages[who].getByRole("button", { name: button }).click()]);
    return await pages[who].locator("main").innerText();
  },
  async withdraw({ who }) {
    await Promise.all([pages[who].waitForNavigation(), pages[who].getByRole("button", { name: "Withdraw" }).click()]);
    return await pages[who].locator("main").innerText();
  },
  async wide({ who }) { // whether the page is wider than the screen
    return String(await pages[who].evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth));
  },
  async complaints() { return complaints.join("\n"); },
};

let browser;
(async () => {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: flags });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const command = JSON.parse(line);
    let said;
    try {
      said = { ok: await steps[command.do](command) };
    } catch (e) {
      const page = pages[command.who];
      said = { error: String(e) + (page ? "\n" + await page.content().catch(() => "") : "") };
    }
    console.log(JSON.stringify(said));
  }
  await browser.close();
})();
