"""The page's style sheet and its few lines of script. Nothing in them refers to the outside.

Colours are those of Okabe and Ito's palette, which people with the common kinds of colour
blindness can tell apart, lightened for the dark page; the shades of TAS differ in lightness.
"""

from __future__ import annotations

_LIGHT = """
color-scheme:light;--paper:#fcfcfa;--card:#ffffff;--ink:#1b1e23;--soft:#5b626d;--rule:#e2e3df;
--grid:#ecece8;--blue:#0b66a8;--dot:#8fa0b3;--chosen:#c8500a;--band:#c8500a22;--fill:#0b66a833;
--c0:#0b66a8;--c1:#c8500a;--c2:#007f5f;--c3:#a3487c;--c4:#8a6d00;--c5:#4d5561;
--t0:#dde5ee;--t1:#bdd0e4;--t2:#94b8d8;--t3:#649bc7;--t4:#3a7bb3;--t5:#185a96;--t6:#0a3a6b;
"""

_DARK = """
color-scheme:dark;--paper:#131518;--card:#1a1d21;--ink:#e7e9ec;--soft:#a0a8b3;--rule:#2d3238;
--grid:#262a30;--blue:#5bb0ea;--dot:#66788c;--chosen:#ff9a4d;--band:#ff9a4d2e;--fill:#5bb0ea3d;
--c0:#5bb0ea;--c1:#ff9a4d;--c2:#35c596;--c3:#e08fbb;--c4:#e3c34a;--c5:#a7b0bc;
--t0:#2b3641;--t1:#2c4a65;--t2:#2f6390;--t3:#3a80b8;--t4:#5aa0d6;--t5:#8ec3ec;--t6:#cfe7fb;
"""

CSS = (
    f"""
:root{{{_LIGHT}}}
@media (prefers-color-scheme:dark){{:root:not([data-theme=light]){{{_DARK}}}}}
:root[data-theme=dark]{{{_DARK}}}
"""
    + """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);
font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
font-variant-numeric:tabular-nums}
main,header,footer{max-width:1096px;margin:0 auto;padding:0 28px}
header{padding-top:44px;position:relative}
h1{font-size:30px;line-height:1.2;letter-spacing:-.015em;margin:0 90px 6px 0;font-weight:650;
overflow-wrap:anywhere}
h2{font-size:19px;letter-spacing:-.005em;margin:54px 0 4px;font-weight:650}
h3{font-size:13px;margin:22px 0 6px;color:var(--soft);font-weight:600}
p{margin:0 0 14px;max-width:74ch;overflow-wrap:anywhere}
.lead{max-width:none}
.lead,.note,.legend{color:var(--soft)}
.note{font-size:13.5px}
.warning{max-width:none;font-weight:600}
button{position:absolute;right:28px;top:46px;font:inherit;font-size:13px;color:var(--soft);
background:none;border:1px solid var(--rule);border-radius:6px;padding:4px 11px;cursor:pointer}
button:hover{color:var(--ink);border-color:var(--soft)}
code,pre,.id{font-family:ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace;
font-size:.89em}
pre{background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:12px 14px;
overflow-x:auto;margin:10px 0}
.tiles{display:grid;grid-template-columns:repeat(4,1fr);gap:12px;margin:26px 0 0}
.tile{background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:14px 16px 13px}
.tile b{display:block;white-space:nowrap;font-size:21px;line-height:1.25;font-weight:620;
letter-spacing:-.015em}
.tile b small{font-size:14px;font-weight:500;color:var(--soft);letter-spacing:0}
.tile span{display:block;font-size:13px;color:var(--soft);line-height:1.4}
.tile .what{color:var(--ink);font-weight:550;margin-bottom:3px}
.scroll{overflow-x:auto;margin:12px 0 6px;background:
linear-gradient(270deg,var(--paper) 40%,transparent) 100%/44px no-repeat local,
linear-gradient(270deg,var(--dot),transparent) 100%/12px no-repeat}
table{border-collapse:collapse;font-size:13.5px;min-width:100%}
th,td{padding:5px 0 5px 18px;text-align:right;white-space:nowrap;
border-bottom:1px solid var(--grid)}
th{font-weight:550;color:var(--soft);border-color:var(--rule);vertical-align:bottom}
th small{font-weight:400;display:block}
th:first-child,td:first-child{padding-left:4px}
th:last-child,td:last-child{padding-right:4px}
.left{text-align:left}
td.text{white-space:normal;min-width:190px;overflow-wrap:anywhere}
td.none{color:var(--soft)}
tr.on td{background:var(--band)}
.flag{font-size:12px;color:var(--soft);border:1px solid var(--rule);border-radius:4px;
padding:0 5px;margin-left:5px}
.options td,.options th{padding:2px 0 2px 12px;font-size:12.5px}
.bar{display:inline-block;height:9px;background:var(--blue);border-radius:2px;min-width:1px}
.cached .bar{background:none;border:1px solid var(--blue)}
td.track{width:99%}
dl{display:grid;grid-template-columns:max-content 1fr;gap:3px 22px;font-size:14px;margin:8px 0}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
.two{display:grid;grid-template-columns:1fr 1fr;gap:0 40px}
details{margin:8px 0}summary{cursor:pointer;color:var(--soft);font-size:13.5px}
footer{padding-top:46px;padding-bottom:44px;color:var(--soft);font-size:13px}
svg{display:block;width:100%;height:auto;overflow:visible;margin:14px 0 4px}
.narrow{display:none;max-width:520px}
text{font:11px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
fill:var(--ink);font-variant-numeric:tabular-nums}
.tick,.axis{fill:var(--soft)}
.axis{font-weight:550}
.value{font-weight:600}
.map text{font-size:9.5px;fill:var(--soft)}
path{fill:none}
.grid{stroke:var(--grid)}
.base{stroke:var(--rule)}
.candidate{fill:var(--dot);opacity:.75}
.predicted{fill:var(--card);stroke:var(--dot);stroke-width:1.4}
.chosen{fill:var(--chosen);stroke:var(--paper);stroke-width:1.5}
.original{fill:var(--card);stroke:var(--ink);stroke-width:2}
.front{stroke:var(--chosen);stroke-width:1.6;opacity:.75}
.whisker{stroke:var(--ink);stroke-width:1.8;opacity:.6}
.budget{stroke:var(--soft);stroke-dasharray:2 4;opacity:.55}
.rug{fill:var(--dot)}.chosen-rug{fill:var(--chosen)}
.noise{fill:var(--band)}
.density{fill:var(--fill);stroke:var(--blue);stroke-width:1.2}
.median{stroke:var(--ink);opacity:.5}.p95{stroke:var(--chosen);stroke-width:2}
.curve{stroke-width:2;stroke-linejoin:round}.raw{opacity:.26}
path.c0{stroke:var(--c0)}path.c1{stroke:var(--c1)}path.c2{stroke:var(--c2)}
path.c3{stroke:var(--c3)}path.c4{stroke:var(--c4)}path.c5{stroke:var(--c5)}
text.c0{fill:var(--c0)}text.c1{fill:var(--c1)}text.c2{fill:var(--c2)}
text.c3{fill:var(--c3)}text.c4{fill:var(--c4)}text.c5{fill:var(--c5)}
.block{fill:var(--card);stroke:var(--rule)}.loose{stroke-dasharray:3 3}
.edge{stroke:var(--dot);stroke-width:1.3}.skip{stroke:var(--dot);stroke-width:1.1}
.t0{fill:var(--t0);background:var(--t0)}.t1{fill:var(--t1);background:var(--t1)}
.t2{fill:var(--t2);background:var(--t2)}.t3{fill:var(--t3);background:var(--t3)}
.t4{fill:var(--t4);background:var(--t4)}.t5{fill:var(--t5);background:var(--t5)}
.t6{fill:var(--t6);background:var(--t6)}
circle[class^=t]{stroke:var(--soft);stroke-opacity:.45;stroke-width:.7}
.legend{display:flex;gap:8px;align-items:center;font-size:12.5px;margin:10px 0 0}
.ramp{display:inline-flex}.ramp i{width:22px;height:11px}
.key{display:flex;flex-wrap:wrap;gap:4px 20px;font-size:12.5px;color:var(--soft);margin:4px 0 0}
.key span{display:inline-flex;align-items:center;gap:7px}
.key svg{width:22px;height:14px;margin:0}
.cards{display:grid;grid-template-columns:repeat(3,1fr);gap:12px;margin:14px 0}
.card{background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:10px 14px 4px;
min-width:0}
.card svg{margin:2px 0}
.shots{display:grid;grid-template-columns:repeat(6,1fr);gap:8px;margin:0 0 6px}
.shots svg{margin:0;overflow:hidden;border-radius:4px;background:var(--grid)}
.box{fill:none;stroke-width:2;vector-effect:non-scaling-stroke;pointer-events:all}
.plots h3{margin-top:6px;min-height:2lh}
.dots{stroke:var(--blue);stroke-width:3.6;stroke-linecap:round;opacity:.5}
rect.none{fill:var(--grid);opacity:.5}
.cell{font-size:10px}.over{fill:var(--paper)}
.d0{fill:var(--c0);background:var(--c0)}.d1{fill:var(--c1);background:var(--c1)}
.d2{fill:var(--c2);background:var(--c2)}.d3{fill:var(--c3);background:var(--c3)}
.d4{fill:var(--c4);background:var(--c4)}.d5{fill:var(--c5);background:var(--c5)}
.flat{stroke:var(--ink);stroke-width:1.4;opacity:.55}
.swatch{width:18px;height:9px;border-radius:2px}
.swatch.flat{width:0;height:13px;border-left:1.5px solid var(--ink);border-radius:0}
.maps>div{min-width:0}
ul{margin:6px 0 14px;padding-left:20px}li{max-width:84ch;overflow-wrap:anywhere;margin:3px 0}
tr.first td{border-top:1px solid var(--rule)}
g.on .chosen{stroke:var(--ink);stroke-width:2.5}
g.on text.name{font-weight:700}
g.on .density{fill:var(--band);stroke:var(--chosen)}
#tip{position:fixed;z-index:9;pointer-events:none;background:var(--ink);color:var(--paper);
font-size:12.5px;line-height:1.45;padding:6px 10px;border-radius:6px;white-space:pre-line;
max-width:340px;overflow-wrap:anywhere}
@media (max-width:760px){
main,header,footer{padding-left:16px;padding-right:16px}
header{padding-top:26px}button{right:16px;top:26px}h1{font-size:24px}h2{margin-top:42px}
.tiles{grid-template-columns:1fr 1fr;gap:8px}.tile{padding:11px 12px}
.tile b{font-size:17px;white-space:nowrap}.tile b small{font-size:12.5px}
.two,.cards{grid-template-columns:1fr}.shots{grid-template-columns:repeat(3,1fr)}.wide{display:none}.narrow{display:block}
.stack thead{display:none}.stack tr{display:block;padding:8px 0;border-bottom:1px solid var(--rule)}
.stack td{display:block;white-space:normal;min-width:0;padding:1px 4px;border:0}
.stack td:empty{display:none}
.stack td:not([data-label=""])::before{content:attr(data-label) ": ";color:var(--soft)}
dl{grid-template-columns:1fr;gap:0}dd{margin:0 0 7px}
}
@media print{button{display:none}}
"""
)

SCRIPT = """
(function(){
var root=document.documentElement,dark=matchMedia('(prefers-color-scheme: dark)');
document.getElementById('theme').onclick=function(){
var is=root.dataset.theme||(dark.matches?'dark':'light');
root.dataset.theme=is==='dark'?'light':'dark'};
var tip=document.createElement('div');tip.id='tip';tip.hidden=true;document.body.append(tip);
document.querySelectorAll('svg title').forEach(function(t){
var of=t.parentNode;of.dataset.tip=t.textContent;of.setAttribute('aria-label',t.textContent);
t.remove()});
function mark(id,on){document.querySelectorAll('[data-p]').forEach(function(e){
e.classList.toggle('on',on&&e.dataset.p===id)})}
document.addEventListener('pointerover',function(e){
var one=e.target.closest('[data-p]');mark(one&&one.dataset.p,!!one);
var told=e.target.closest('[data-tip]');tip.hidden=!told;
if(!told)return;
tip.textContent=told.dataset.tip;
var w=tip.offsetWidth,h=tip.offsetHeight,y=e.clientY-h-14;
tip.style.left=Math.max(6,Math.min(e.clientX-w/2,innerWidth-w-6))+'px';
tip.style.top=(y<6?e.clientY+18:y)+'px'});
})();
"""
