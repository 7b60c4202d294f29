/* SPDX-License-Identifier: Apache-2.0
 * report_html.c - a page that holds its numbers and draws them itself: nothing is loaded. */
#include "report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char before[] =
    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\n"
    "<title>millrace-load</title>\n"
    "<style>body{font:15px/1.5 system-ui,sans-serif;max-width:1000px;margin:2em auto;padding:0 1em;color:#222;background:#fff}\n"
    "table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .8em;text-align:right;border-bottom:1px solid #ddd}\n"
    "td:first-child,th:first-child{text-align:left}svg{width:100%;height:auto;background:#fafafa;border:1px solid #ddd}\n"
    "code{background:#f2f2f2;padding:.1em .3em}.bad{color:#b00020}figcaption{font-weight:600;margin-top:1.5em}\n"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}svg{background:#202020;border-color:#444}\n"
    "td,th{border-color:#444}code{background:#2a2a2a}}</style>\n"
    "<h1>millrace-load</h1><p><code id=\"command\"></code></p><div id=\"page\"></div>\n"
    "<script type=\"application/json\" id=\"data\">";

static const char after[] =
    "</script>\n<script>\n"
    "const d=JSON.parse(document.getElementById('data').textContent),page=document.getElementById('page');\n"
    "document.getElementById('command').textContent=d.command;\n"
    "const el=(n,a={},t='')=>{const e=document.createElementNS(n==='svg'||a.ns?'http://www.w3.org/2000/svg':'http://www.w3.org/1999/xhtml',n);\n"
    " for(const k in a)if(k!=='ns')e.setAttribute(k,a[k]);if(t!=='')e.textContent=t;return e};\n"
    "const num=v=>v==null?'–':Math.abs(v)>=1000?Math.round(v).toLocaleString('en'):(+v).toFixed(Math.abs(v)<10?2:1).replace(/\\.0+$/,'');\n"
    "function table(head,rows){const t=el('table'),h=el('tr');head.forEach(x=>h.append(el('th',{},x)));t.append(h);\n"
    " rows.forEach(r=>{const tr=el('tr');r.forEach(x=>tr.append(el('td',{},typeof x==='number'||x==null?num(x):x)));t.append(tr)});page.append(t)}\n"
    "table(['viewers','asked','joined','failed','cut off','dropped','left'],[['',d.viewers.asked,d.viewers.joined,d.viewers.failed,d.viewers.cut_off,d.viewers.dropped,d.viewers.left]]);\n"
    "const causes=Object.entries(d.failures);if(causes.length)table(['failure','count'],causes);\n"
    "const P=(n,p)=>[n,p.p50,p.p95,p.p99,p.max,p.count];\n"
    "table(['milliseconds','p50','p95','p99','max','count'],[P('join (first media)',d.join_ms),P('  HTTP answer',d.steps_ms.http),\n"
    " P('  ICE',d.steps_ms.ice),P('  DTLS',d.steps_ms.dtls),P('first whole keyframe',d.first_keyframe_ms),P('delay',d.delay_ms),\n"
    " P('jitter',d.jitter_ms),P('freeze',d.freeze_ms)]);\n"
    "table(['RTP','received','lost after repair','recovered','asked again','checked','bad'],[['',d.rtp.received,d.rtp.lost_after_repair,\n"
    " d.rtp.recovered,d.rtp.nacks,d.rtp.checked,d.rtp.bad]]);\n"
    "table(['picture','frames','keyframes','breaks','jumps','freezes'],[['',d.picture.frames,d.picture.keyframes,d.picture.breaks,d.picture.jumps,d.freezes]]);\n"
    "if(d.counters.socket_drops)page.append(el('p',{class:'bad'},num(d.counters.socket_drops)+' datagrams were lost in the load tester itself: it was too slow, not the server.'));\n"
    "const colors=['#2563eb','#d97706','#b00020','#059669'];\n"
    "function plot(title,unit,series){const s=d.samples;if(s.length<2)return;const W=960,H=240,L=64,B=28,T=14,R=12,\n"
    " tmax=s[s.length-1].t,vals=series.flatMap(x=>s.map(x.of)).filter(v=>v!=null&&isFinite(v)),top=Math.max(...vals,1e-9)*1.08,\n"
    " x=t=>L+(W-L-R)*t/tmax,y=v=>T+(H-T-B)*(1-v/top),svg=el('svg',{viewBox:`0 0 ${W} ${H}`,role:'img','aria-label':title});\n"
    " const add=(n,a,t)=>svg.append(el(n,{...a,ns:1},t));\n"
    " for(let i=0;i<=4;i++){const v=top*i/4;add('line',{x1:L,x2:W-R,y1:y(v),y2:y(v),stroke:'#8884'});\n"
    "  add('text',{x:L-6,y:y(v)+4,'text-anchor':'end','font-size':12,fill:'#888'},num(v))}\n"
    " for(let i=0;i<=6;i++){const t=tmax*i/6;add('text',{x:x(t),y:H-8,'text-anchor':'middle','font-size':12,fill:'#888'},num(t)+' s')}\n"
    " series.forEach((f,i)=>{let p='',pen=false;s.forEach(m=>{const v=f.of(m);if(v==null||!isFinite(v)){pen=false;return}\n"
    "  p+=(pen?'L':'M')+x(m.t).toFixed(1)+' '+y(v).toFixed(1);pen=true});\n"
    "  add('path',{d:p,fill:'none',stroke:colors[i],'stroke-width':1.8});\n"
    "  add('text',{x:W-R-8,y:T+16+16*i,'text-anchor':'end','font-size':13,fill:colors[i]},f.name)});\n"
    " const fig=el('figure',{style:'margin:0'});fig.append(el('figcaption',{},title+(unit?' ('+unit+')':'')),svg);page.append(fig)}\n"
    "const some=k=>m=>m[k]>0?m[k]:null;\n"
    "plot('Viewers playing','',[{name:'playing',of:m=>m.playing}]);\n"
    "plot('Received','Mbit/s',[{name:'all viewers',of:m=>m.bytes*8/1e6/m.seconds}]);\n"
    "plot('Delay of frames','ms',[{name:'p50',of:some('delay_p50_ms')},{name:'p95',of:some('delay_p95_ms')},{name:'p99',of:some('delay_p99_ms')}]);\n"
    "plot('Time to the first whole keyframe','ms',[{name:'p50',of:some('keyframe_p50_ms')},{name:'p95',of:some('keyframe_p95_ms')}]);\n"
    "plot('Time to the first media','ms',[{name:'p50',of:some('join_p50_ms')},{name:'p95',of:some('join_p95_ms')}]);\n"
    "plot('Packets','per second',[{name:'asked again',of:m=>m.nacks/m.seconds},{name:'lost after repair',of:m=>m.lost/m.seconds}]);\n"
    "plot('Freezes and failures','',[{name:'freezes',of:m=>m.freezes},{name:'failures',of:m=>m.failed}]);\n"
    "plot('Jitter','ms',[{name:'p95',of:some('jitter_p95_ms')}]);\n"
    "</script></html>\n";

/* Inside a script element "<" could end it: JSON has another way to write it. */
static void write_escaped(FILE *f, const char *json)
{
    for (; *json; json++)
        if (*json == '<')
            fputs("\\u003c", f);
        else
            fputc(*json, f);
}

int report_write_html(const struct report *r, const char *path)
{
    char *json = report_json(r);
    FILE *f = json ? fopen(path, "w") : NULL;
    bool bad = true;

    if (f) {
        fputs(before, f);
        write_escaped(f, json);
        fputs(after, f);
        bad = ferror(f);
        bad = fclose(f) || bad;
    }
    free(json);
    if (bad)
        fprintf(stderr, "millrace-load: %s: cannot be written: %s\n", path, strerror(errno));
    return bad ? -1 : 0;
}
