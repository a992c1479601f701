// Looks at pages in headless Chromium and prints, for each of them and each
// kind of screen, one line of JSON: what a person would stumble over.
//
//   node check.mjs [--shots DIR] [--only SCREEN] PAGE.html...
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { chromium } from 'playwright-core'

const { values, positionals } = parseArgs({ options: { shots: { type: 'string' }, only: { type: 'string' } }, allowPositionals: true })
const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

const screens = [
  { name: 'phone', viewport: { width: 390, height: 844 }, colorScheme: 'light' },
  { name: 'phone-dark', viewport: { width: 390, height: 844 }, colorScheme: 'dark' },
  { name: 'desk', viewport: { width: 1280, height: 900 }, colorScheme: 'light' },
  { name: 'desk-dark', viewport: { width: 1280, height: 900 }, colorScheme: 'dark' },
  { name: 'print', viewport: { width: 794, height: 1123 }, colorScheme: 'light', media: 'print' },
]

async function look (context, file, screen) {
  const page = await context.newPage()
  const console = []
  const requests = []
  page.on('console', m => { if (['error', 'warning'].includes(m.type())) console.push(m.text()) })
  page.on('pageerror', e => console.push(String(e)))
  page.on('request', r => requests.push(r.url()))
  page.on('dialog', d => { console.push('dialog: ' + d.message()); d.dismiss() })
  const url = pathToFileURL(resolve(file)).href
  await page.setViewportSize(screen.viewport)
  await page.emulateMedia({ colorScheme: screen.colorScheme, media: screen.media ?? 'screen', reducedMotion: 'reduce' })
  await page.goto(url, { waitUntil: 'load' })
  const closed = await page.locator('main').innerText()
  if (values.shots) {
    await page.screenshot({ path: join(values.shots, `${basename(file, '.html')}-${screen.name}.png`), fullPage: true })
  }
  const paper = screen.media === 'print' ? (await page.pdf({ format: 'A4' })).toString('latin1') : ''
  // Everything that is folded away is looked at as well.
  await page.evaluate(() => document.querySelectorAll('details').forEach(d => { d.open = true }))
  if (values.shots) {
    await page.screenshot({ path: join(values.shots, `${basename(file, '.html')}-${screen.name}-open.png`), fullPage: true })
  }
  const seen = await page.evaluate(() => {
    const visible = e => e.checkVisibility({ visibilityProperty: true })
    const wide = [...document.querySelectorAll('body *')]
      .filter(e => visible(e) && !e.closest('svg') && !e.closest('thead') && !e.closest('.hidden, .skip') && e.getBoundingClientRect().right > innerWidth + 0.5)
      .map(e => e.outerHTML.slice(0, 120))
    return {
      title: document.title,
      overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
      wide: wide.slice(0, 5),
      background: getComputedStyle(document.body).backgroundColor,
      scripts: document.scripts.length + document.querySelectorAll('[onerror], [onload], [onclick], img, iframe, object').length,
      targets: [...document.querySelectorAll('nav a, .attention a')].filter(a => !document.querySelector(a.getAttribute('href'))).length,
      text: document.body.innerText
    }
  })
  // axe is put into the page by the debugger, which the page's policy does not
  // hold back.
  await page.evaluate(axe)
  const found = await page.evaluate(async () => {
    const r = await globalThis.axe.run(document, { resultTypes: ['violations', 'incomplete'] })
    const short = list => list.map(v => ({ id: v.id, impact: v.impact, nodes: v.nodes.slice(0, 50).map(n => n.html.slice(0, 160) + ' ' + (n.any[0]?.message ?? '')) }))
    return { violations: short(r.violations), incomplete: short(r.incomplete), passes: r.passes.length }
  })
  await page.close()
  return { file: basename(file), screen: screen.name, closed, pages: paper.split(/\/Type \/Page\b(?!s)/).length - 1, console, requests: requests.filter(r => r !== url), ...seen, ...found }
}

const profile = await mkdtemp(join(tmpdir(), 'conmotion-browser-'))
try {
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']
  })
  for (const file of positionals) {
    for (const screen of screens.filter(s => !values.only || s.name === values.only)) {
      process.stdout.write(JSON.stringify(await look(context, file, screen)) + '\n')
    }
  }
  await context.close()
} finally {
  await rm(profile, { recursive: true, force: true })
}
