// Package browser looks at the report's page in a real browser: headless
// Chromium, driven by Playwright, with axe-core for accessibility. The test
// needs Chromium, Node.js and the build tag browser; see README.md.
package browser
