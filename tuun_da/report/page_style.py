"""The style of the HTML report: light and dark, phone and desktop, screen and paper. No file but itself is needed.

Blue and vermilion are Okabe and Ito's, which the colour-blind tell apart; what a colour says stands beside it in words
or numbers as well.
"""

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --panel: #f6f7f9; --ink: #15191f; --soft: #59626e; --rule: #dfe3e8;
  --blue: #0064a5; --red: #b8480a; --green: #007a5a; --purple: #8a3f86; --gold: #8a6100; --expected: #6b7480; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #101418; --panel: #191f25; --ink: #e8ecf0; --soft: #9daab6; --rule: #2c353e;
    --blue: #62b5ec; --red: #f0925a; --green: #45c79c; --purple: #d99ad5; --gold: #e2b64b; --expected: #94a0ac; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body { margin: 0; background: var(--paper); color: var(--ink); overflow-wrap: anywhere;
  font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main, header, footer { max-width: 56rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 3.5rem; }
h1 { font-size: clamp(1.7rem, 5vw, 2.5rem); line-height: 1.15; letter-spacing: -.02em; margin: 0 0 .75rem; }
h2 { font-size: 1.4rem; line-height: 1.25; letter-spacing: -.01em; margin: 0 0 .75rem; }
h3 { font-size: 1rem; margin: 2rem 0 .4rem; }
p { margin: 0 0 1rem; max-width: 44rem; }
.kicker { color: var(--soft); font-size: .875rem; letter-spacing: .02em; margin: 0 0 .5rem; }
.lead { font-size: 1.125rem; line-height: 1.5; }
section { padding-top: 3.5rem; }
nav { margin-top: 2rem; padding: .8rem 0; border-block: 1px solid var(--rule); font-size: .9rem; }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .3rem 1.4rem; margin: 0; padding: 0; }
a { color: var(--blue); text-underline-offset: .2em; text-decoration-thickness: 1px; }
nav a { text-decoration: none; }
nav a:hover, nav a:focus { text-decoration: underline; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: 1.5rem;
margin: 2rem 0 0; }
.tiles div { border-top: 2px solid var(--ink); padding-top: .6rem; display: flex; flex-direction: column; }
.tiles dt { color: var(--soft); font-size: .85rem; line-height: 1.35; order: 1; }
.tiles dd { margin: 0; font-size: 1.75rem; line-height: 1.2; font-weight: 600; letter-spacing: -.02em;
  font-variant-numeric: tabular-nums; }
.tiles dd + dd { font-size: .85rem; line-height: 1.35; font-weight: 400; letter-spacing: 0; color: var(--soft);
order: 2; }
.note { border-left: 3px solid var(--gold); padding: .1rem 0 .1rem 1rem; }
figure { margin: 1.5rem 0 0; }
figcaption, .small { color: var(--soft); font-size: .875rem; line-height: 1.5; max-width: 44rem; }
figcaption { margin-top: .6rem; }
.chart { display: block; width: 100%; height: auto; overflow: visible; }
.chart.narrow { display: none; }
.chart text { fill: var(--soft); font-size: 12px; font-variant-numeric: tabular-nums; font-family: inherit; }
.chart text.label { fill: var(--ink); }
.chart .grid { stroke: var(--rule); stroke-width: 1; }
.chart .none { stroke: none; }
.chart .axis { stroke: var(--soft); stroke-width: 1; }
.chart .part { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 2 4; }
.chart path { fill: none; stroke-linejoin: round; }
.chart .best { stroke: var(--blue); stroke-width: 2.25; }
.chart .expected { stroke: var(--expected); stroke-width: 2; }
.chart .guess { stroke-dasharray: 5 5; }
.chart .proposed { fill: var(--blue); fill-opacity: .75; }
.chart .random { fill: var(--paper); stroke: var(--soft); stroke-width: 1.5; }
.chart .elsewhere { fill: var(--purple); }
.chart .baseline { fill: var(--red); }
.chart .many { stroke-width: 5; stroke-linecap: round; }
.chart path.proposed.many { stroke: var(--blue); fill: none; stroke-opacity: .6; }
.chart path.elsewhere.many { stroke: var(--purple); fill: none; }
.chart path.random.many { stroke: var(--soft); fill: none; stroke-width: 4; stroke-opacity: .6; }
.chart .ended { stroke: var(--red); stroke-width: 1.5; }
.chart .ring { fill: none; stroke: var(--ink); stroke-width: 1.75; }
.chart .curve { stroke-width: 2; }
.chart .faint { stroke: var(--soft); stroke-width: 1; stroke-opacity: .22; }
.chart .c1 { stroke: var(--blue); stroke-width: 2.5; } .chart .c2 { stroke: var(--red); stroke-dasharray: 8 3; }
.chart .c3 { stroke: var(--green); stroke-dasharray: 3 3; }
.chart .c4 { stroke: var(--purple); stroke-dasharray: 9 3 2 3; }
.chart .c5 { stroke: var(--gold); stroke-dasharray: 14 4; }
.chart .found { fill: var(--blue); fill-opacity: .8; } .chart .other { fill: var(--soft); fill-opacity: .6; }
.chart .mean { stroke: var(--ink); stroke-width: 2.5; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .25rem 1.4rem; margin: .75rem 0 0; padding: 0;
  font-size: .875rem; color: var(--soft); }
.legend li { display: flex; align-items: center; gap: .5rem; }
.legend svg { width: 28px; height: 14px; flex: none; overflow: visible; }
.scroll { overflow-x: auto; margin-top: 1rem; } .scroll + p { margin-top: 1rem; }
table { border-collapse: collapse; width: 100%; overflow-wrap: break-word;
  font-size: .925rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); font-size: .875rem; padding-bottom: .5rem; }
th, td { text-align: left; vertical-align: baseline; padding: .45rem .75rem .45rem 0;
border-bottom: 1px solid var(--rule); }
th { font-weight: 600; } thead th { color: var(--soft); font-weight: 500; font-size: .85rem; }
td:last-child, th:last-child { padding-right: 0; }
.number { text-align: right; white-space: nowrap; padding-right: 1.75rem; }
.share { display: inline-block; min-width: 3rem; }
tr.group > * { border-top: 2px solid var(--rule); }
tbody th { font-weight: 400; } tr.found > *, tr.group > th { font-weight: 600; }
.bar { display: inline-block; width: 4.5rem; height: .5rem; border-radius: .25rem; background: var(--rule);
  margin-left: .6rem; vertical-align: .08em; }
.bar i { display: block; height: 100%; border-radius: .25rem; background: var(--blue); min-width: 1px; }
.heat { table-layout: fixed; font-size: .85rem; }
.heat th:first-child { width: 26%; } .heat .overall { width: 30%; }
.heat td { text-align: center; padding: .4rem .2rem; border: 2px solid var(--paper); vertical-align: middle;
  white-space: nowrap; }
.heat thead th { text-align: center; padding: .3rem .1rem; line-height: 1.3; }
.heat thead th:first-child { text-align: left; }
.heat tbody th { font-weight: 500; border: 0; padding: .4rem .5rem .4rem 0; line-height: 1.3;
  vertical-align: middle; }
.heat td { background: color-mix(in srgb, var(--tone, transparent) var(--share, 0%), transparent); }
.heat .overall { background: none; }
.heat .help { --tone: var(--blue); } .heat .hurt { --tone: var(--red); } .heat .clear { font-weight: 700; }
.heat small { display: block; color: var(--soft); font-weight: 400; font-size: .78rem; white-space: nowrap; }
.interval { display: block; width: 100%; height: 12px; margin: .1rem 0; overflow: visible; }
.interval .zero { stroke: var(--soft); stroke-width: 1; } .interval .span { stroke: var(--tone); stroke-width: 2; }
.interval circle { fill: var(--tone); }
.sub { margin: 0; padding: 1.4rem 0; border-top: 1px solid var(--rule); }
.sub h4 { margin: 0 0 .2rem; } .sub p { margin: 0 0 .8rem; font-size: .9rem; color: var(--soft); }
.strip { display: grid; grid-template-columns: repeat(8, 1fr); gap: 6px; }
.strip img { width: 100%; height: auto; display: block; border-radius: 3px; background: var(--panel); }
.pixelated img { image-rendering: pixelated; }
pre { background: var(--panel); border-radius: 6px; padding: 1rem; overflow-x: auto; overflow-wrap: normal;
margin: .5rem 0 0;
  font: .84rem/1.55 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: .9em; }
details { margin-top: 1.25rem; } summary { cursor: pointer; color: var(--blue); }
.facts { overflow-wrap: anywhere; } .facts th { width: 38%; color: var(--soft); }
footer { margin-top: 4.5rem; padding-top: 1rem; padding-bottom: 3rem; color: var(--soft); font-size: .875rem; }
@media (max-width: 40rem) {
  header { padding-top: 2rem; } section { padding-top: 2.75rem; }
  .chart.wide { display: none; } .chart.narrow { display: block; }
  .strip { grid-template-columns: repeat(4, 1fr); }
  .tiles { grid-template-columns: 1fr 1fr; gap: 1.25rem; } .tiles dd { font-size: 1.45rem; }
  table { font-size: .8125rem; } .facts { font-size: .875rem; } .bar { display: none; }
  .number { padding-right: .5rem; } .share { min-width: 0; }
  .heat { font-size: .7rem; } .heat th:first-child { width: 24%; } .heat .overall { width: 20%; }
  .heat thead th { font-size: .7rem; }
  .heat td { padding: .35rem 0; letter-spacing: -.04em; } .heat small { font-size: .66rem; white-space: normal; }
  th, td { padding-right: .5rem; }
  .stacked thead { position: absolute; clip-path: inset(50%); }
  .stacked tr { display: grid; grid-template-columns: 1fr auto; padding: .5rem 0;
  border-bottom: 1px solid var(--rule); }
  .stacked tr > * { border: 0; padding: .1rem 0; } .stacked tr > th, .stacked .whole { grid-column: 1 / -1; }
  .stacked td { text-align: left; white-space: normal; }
  .stacked td[data-name]::before { content: attr(data-name) " "; color: var(--soft); }
}
@media print {
  :root { --paper: #fff; --panel: #f6f7f9; --ink: #000; --soft: #444; --rule: #ccc; --blue: #0064a5; --red: #b8480a;
    --green: #007a5a; --purple: #8a3f86; --gold: #8a6100; --expected: #666; color-scheme: light; }
  body { font-size: 10.5pt; } main, header, footer { max-width: none; padding: 0; } header { padding-top: 0; }
  nav { display: none; } section { padding-top: 1.5rem; } h2, h3 { break-after: avoid; }
  figure, .sub, tr, pre, .tiles { break-inside: avoid; } pre { white-space: pre-wrap; overflow-wrap: anywhere; }
  .scroll { overflow: visible; } * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  details:not([open]) { display: none; }
}
"""
