/* Draws the charts from the figures in #specs. Everything they show stands in tables beside them as well. */
(function () {
  "use strict";
  var specs = JSON.parse(document.getElementById("specs").textContent);
  var boxes = Array.prototype.slice.call(document.querySelectorAll("[data-chart]"));
  var drawn = [];

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  }
  function short(value) {
    var size = Math.abs(value);
    if (size >= 1e9) return +(value / 1e9).toPrecision(3) + " bn";
    if (size >= 1e6) return +(value / 1e6).toPrecision(3) + " m";
    if (size >= 1e5) return +(value / 1e3).toPrecision(3) + " k";
    return (+value.toPrecision(4)).toLocaleString("en-GB");
  }
  function full(value) {
    return Number.isInteger(value) ? value.toLocaleString("en-GB")
      : value.toLocaleString("en-GB", { minimumFractionDigits: 2, maximumFractionDigits: 4 });
  }
  function tip(head, lines) {
    var box = document.createElement("div");
    box.className = "tip";
    var title = box.appendChild(document.createElement("b"));
    title.textContent = head;
    lines.forEach(function (line) {
      var row = box.appendChild(document.createElement("div"));
      var mark = row.appendChild(document.createElement("i"));
      mark.style.background = line[0];
      row.appendChild(document.createElement("span")).textContent = line[1];
      row.appendChild(document.createElement("em")).textContent = line[2];
    });
    return box;
  }
  function base() {
    var font = getComputedStyle(document.body).fontFamily;
    return {
      animation: false,
      textStyle: { fontFamily: font, fontSize: 11, color: colour("soft") },
      legend: {
        top: 0, left: 0, icon: "roundRect", itemWidth: 10, itemHeight: 10, itemGap: 14, type: "scroll",
        textStyle: { color: colour("soft"), fontSize: 11 }, inactiveColor: colour("line")
      },
      tooltip: {
        trigger: "axis", confine: true, backgroundColor: colour("card"), borderColor: colour("line"), padding: 9,
        axisPointer: { type: "line", lineStyle: { color: colour("soft"), type: "dotted" } }
      }
    };
  }
  function value_axis(unit) {
    return {
      type: "value", name: unit, nameLocation: "end", nameGap: 9,
      nameTextStyle: { color: colour("soft"), align: "left", fontSize: 11, padding: [0, 0, 0, -34] },
      axisLabel: { color: colour("soft"), fontSize: 11, formatter: short },
      axisLine: { show: false }, axisTick: { show: false },
      splitLine: { lineStyle: { color: colour("line") } }
    };
  }

  function hours(spec) {
    var option = base();
    var many = spec.series.length > 1;
    var names = [];
    spec.steps.forEach(function (step) { for (var i = 0; i < step.n; i++) names.push(step.name); });
    var dense = spec.steps.length > 6;
    var palette = spec.series.map(function (s, i) { return colour(s.role || "c" + (i % 8)); });
    option.color = palette;
    option.legend.show = many;
    option.grid = { left: 40, right: 8, top: many ? 46 : 26, bottom: dense ? 24 : 38 };
    option.xAxis = [
      {
        type: "category", data: spec.hour.map(function (h, i) { return i; }), axisTick: { show: false },
        axisLine: { lineStyle: { color: colour("line") } },
        axisLabel: {
          show: !dense, color: colour("soft"), fontSize: 10, margin: 5, hideOverlap: true,
          interval: function (i) { return spec.hour[i] % (spec.steps.length > 2 ? 12 : 6) === 0; },
          formatter: function (i) { return String(spec.hour[+i]).padStart(2, "0"); }
        }
      },
      {
        type: "category", position: "bottom", offset: dense ? 0 : 16,
        data: spec.steps.map(function (s) { return s.name; }),
        axisLine: { show: false }, axisTick: { show: false }, axisPointer: { show: false },
        axisLabel: { color: colour("ink"), fontSize: 11, margin: 5, hideOverlap: true },
        splitLine: { show: true, lineStyle: { color: colour("line") } }
      }
    ];
    option.yAxis = value_axis(spec.unit);
    option.series = spec.series.map(function (s, i) {
      return {
        name: s.name, type: "line", step: "middle", symbol: "none", data: s.values, connectNulls: false,
        stack: spec.stack ? "all" : undefined,
        lineStyle: { width: spec.stack ? 0 : 1.8 },
        areaStyle: spec.stack ? { opacity: 1, color: palette[i] } : undefined,
        emphasis: { disabled: true }
      };
    });
    option.tooltip.formatter = function (points) {
      var at = points[0].dataIndex;
      return tip(names[at] + ", " + String(spec.hour[at]).padStart(2, "0") + ":00 UTC",
        points.filter(function (p) { return p.value !== null && p.value !== undefined; }).map(function (p) {
          return [palette[p.seriesIndex], p.seriesName, full(p.value)];
        }));
    };
    return option;
  }

  function staircase(orders, most) {
    var at = 0, points = [];
    orders.forEach(function (order) {
      points.push([at, order[1], order[2], order[0]]);
      at += order[0];
      points.push([at, order[1], order[2], order[0]]);
    });
    if (orders.length) points.push([at, most]);
    return points;
  }
  function total(orders) { return orders.reduce(function (sum, order) { return sum + order[0]; }, 0); }

  function curve(spec) {
    var option = base();
    var palette = [colour("c0"), colour("c1"), colour("ink")];
    var tops = spec.supply.concat(spec.demand).map(function (o) { return o[1]; }).concat(spec.prices);
    var most = Math.max.apply(null, tops) * 1.06;
    var x_max = Math.max(Math.min(total(spec.demand), 2.2 * total(spec.supply)), total(spec.supply)) * 1.04;
    option.color = palette;
    option.grid = { left: 40, right: 14, top: 46, bottom: 36 };
    option.legend.selectedMode = false;
    option.xAxis = {
      type: "value", max: x_max, name: "devices", nameLocation: "middle", nameGap: 22,
      nameTextStyle: { color: colour("soft"), fontSize: 11 },
      axisLabel: { color: colour("soft"), fontSize: 11, formatter: short, showMaxLabel: false, hideOverlap: true },
      splitLine: { show: false }, axisLine: { show: true, lineStyle: { color: colour("line") } }
    };
    option.yAxis = value_axis(spec.unit);
    option.yAxis.max = most;
    option.yAxis.min = 0;
    option.yAxis.axisLabel.showMaxLabel = false;
    option.tooltip.trigger = "item";
    option.tooltip.formatter = function (p) {
      if (!p.value[2]) return "";
      return tip(p.value[2], [[p.color, spec.unit, full(p.value[1])], ["transparent", "devices", full(Math.round(p.value[3]))]]);
    };
    function line(name, points, c) {
      return {
        name: name, type: "line", data: points, symbol: "circle", symbolSize: 4, showSymbol: true,
        lineStyle: { width: 2, color: palette[c] }, itemStyle: { color: palette[c] }, emphasis: { scale: 1.6 }, clip: true
      };
    }
    option.series = [
      line("supply: asks", staircase(spec.supply, most), 0),
      line("demand: worth to bids", staircase(spec.demand, 0), 1),
      {
        name: "clearing price", type: "line", data: [], symbol: "none", lineStyle: { type: "dashed", width: 1.4, color: palette[2] },
        itemStyle: { color: palette[2] },
        markLine: {
          silent: true, symbol: "none", lineStyle: { type: "dashed", width: 1.4, color: palette[2] },
          label: { position: "insideEndTop", color: colour("ink"), fontSize: 11, formatter: function (p) { return full(p.value); } },
          data: spec.prices.map(function (p, i) {
            var crowded = i > 0 && (p - spec.prices[i - 1]) / most < 0.07;
            return { yAxis: p, label: { show: !crowded } };
          })
        }
      }
    ];
    return option;
  }

  function draw() {
    drawn.forEach(function (chart) { chart.dispose(); });
    drawn = boxes.map(function (box) {
      var spec = specs[box.getAttribute("data-chart")];
      box.classList.add("drawn");
      var chart = echarts.init(box, null, { renderer: "svg" });
      chart.setOption(spec.kind === "curve" ? curve(spec) : hours(spec));
      return chart;
    });
  }
  draw();

  var widths = boxes.map(function (box) { return box.clientWidth; });
  function fit() {
    boxes.forEach(function (box, i) {
      if (box.clientWidth === widths[i]) return;
      widths[i] = box.clientWidth;
      drawn[i].resize();
    });
  }
  if ("ResizeObserver" in window) {
    var watch = new ResizeObserver(fit);
    boxes.forEach(function (box) { watch.observe(box); });
  } else {
    window.addEventListener("resize", fit);
  }
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  window.addEventListener("beforeprint", function () {
    document.documentElement.classList.add("light");
    draw();
    drawn.forEach(function (chart) { chart.resize({ width: 310 }); });
  });
  window.addEventListener("afterprint", function () {
    document.documentElement.classList.remove("light");
    draw();
  });

  var links = {};
  document.querySelectorAll("nav a").forEach(function (a) { links[a.getAttribute("href").slice(1)] = a; });
  if ("IntersectionObserver" in window) {
    var seen = new IntersectionObserver(function (entries) {
      entries.forEach(function (entry) {
        if (!entry.isIntersecting) return;
        Object.keys(links).forEach(function (id) {
          links[id].classList.toggle("here", id === entry.target.id);
          if (id === entry.target.id) links[id].setAttribute("aria-current", "true");
          else links[id].removeAttribute("aria-current");
        });
      });
    }, { rootMargin: "0px 0px -75% 0px" });
    Object.keys(links).forEach(function (id) { seen.observe(document.getElementById(id)); });
  }
})();
