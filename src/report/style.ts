/** The report's only style sheet: system fonts, one column, colours as variables for light and dark. */
export const style = `
:root { color-scheme: light dark; --ink: #1d2126; --soft: #5c6670; --faint: #e3e6e9; --paper: #fdfdfc; --wash: #f4f5f4;
  --s0: #7a828a; --s1: #b0702a; --s2: #1c6e8c; --s3: #7b4ea3; --s4: #2f7d4f; --s5: #a23b52; --s6: #5a6b1f; --s7: #3f5fb0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ea; --soft: #9aa4ad; --faint: #31373d; --paper: #15181b; --wash: #1d2125;
  --s0: #98a1a9; --s1: #dba05c; --s2: #63b6d6; --s3: #b892dd; --s4: #74c493; --s5: #e08a9c; --s6: #b3c46a; --s7: #8fa8ec; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 ui-sans-serif, system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 3rem 1.5rem 5rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .4rem; letter-spacing: -.015em; font-weight: 650; }
h2 { font-size: 1.15rem; margin: 3rem 0 .6rem; font-weight: 650; letter-spacing: -.005em; }
h3 { font-size: .95rem; margin: 0 0 .25rem; font-weight: 600; overflow-wrap: anywhere; }
section section h3 { margin-top: 1.6rem; }
p { max-width: 44rem; margin: .5rem 0; }
.lede { font-size: 1.1rem; color: var(--ink); margin-top: 1.1rem; }
.soft, figcaption, caption { color: var(--soft); font-size: .9rem; }
caption { text-align: left; padding-bottom: .5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; width: 100%; }
th, td { padding: .38rem .75rem; text-align: right; border-bottom: 1px solid var(--faint); white-space: nowrap; font-weight: 400; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
thead th { color: var(--soft); font-size: .82rem; border-bottom: 1px solid var(--soft); vertical-align: bottom; }
tbody th { white-space: normal; overflow-wrap: anywhere; min-width: 9rem; }
tr.all th, tr.all td { font-weight: 650; border-bottom: 0; border-top: 1px solid var(--soft); }
td small { color: var(--soft); font-size: .82em; margin-left: .35em; }
figure { margin: 1rem 0 0; }
svg { width: 100%; height: auto; display: block; max-width: 36rem; color: var(--soft); overflow: visible;
  font-family: ui-sans-serif, system-ui, sans-serif; font-variant-numeric: tabular-nums; }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)); gap: 2.2rem 2rem; margin-top: 1.2rem; }
.pairs figure { margin: 0; }
figcaption { margin-top: .4rem; }
details { margin: .3rem 0 1.2rem; }
details .wide { margin-top: .5rem; }
:focus-visible { outline: 2px solid var(--s7); outline-offset: 2px; }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1.4rem 1.2rem; margin-top: 1rem; }
.panels figure { margin: 0; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; list-style: none; padding: 0; margin: .8rem 0 0; font-size: .9rem; }
.legend i { display: inline-block; width: 1.1rem; height: .22rem; border-radius: .1rem; vertical-align: middle; margin-right: .45rem; }
dl { display: grid; grid-template-columns: fit-content(45%) 1fr; gap: .25rem 1.5rem; font-size: .92rem; margin: .6rem 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
code, pre { font: .88em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
pre { background: var(--wash); padding: 1rem; overflow-x: auto; border-radius: .3rem; line-height: 1.45; }
summary { cursor: pointer; color: var(--soft); font-size: .92rem; }
ul.notes { max-width: 44rem; padding-left: 1.1rem; } ul.notes li { margin: .35rem 0; }
${[0, 1, 2, 3, 4, 5, 6, 7].map((i) => `.legend .s${i} { background: var(--s${i}); }`).join('\n')}
@media print { main { padding: 0; max-width: none; } h2 { break-after: avoid; } figure { break-inside: avoid; } }
`
