"""The static build: rows of a store to HTML, SVG and CSV.

build.py         the whole site, in order; serve.py shows it on this machine
output.py        the folder that is filled and swapped in; context.py what all pages share
boards.py        runs grouped into benchmarks, tiers and configurations, with their ranks
*_page.py        one kind of page each; run_table.py the table of runs
run_article.py   what a page says of one run; metric_rows.py its metrics, run_charts.py its drawings
axes.py          ticks at round numbers; charts.py, line_charts.py, phase_bars.py pure functions to inline SVG
addresses.py     where pages live; labels.py, formats.py names and numbers for people; csvs.py tables as files
templates/       HTML and the style sheet
"""
