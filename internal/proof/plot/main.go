// Plot writes docs/lambda.svg, and the table of prices in docs/lambda.md between its two marks. Run it from the
// repository's root: go run ./internal/proof/plot. Its output is deterministic.
package main

import (
	"fmt"
	"log"
	"math"
	"math/rand/v2"
	"os"
	"strings"
)

// Constants of AWS. The price is for on-demand tables in us-east-1: https://aws.amazon.com/dynamodb/pricing/on-demand/.
// The limit is per partition:
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html.
const (
	dollarsPerUnit    = 0.125e-6
	unitsPerPoll      = 0.5 // an eventually consistent read of up to 4 KB
	unitsPerPartition = 3000.0
	secondsPerMonth   = 730 * 3600.0
)

const (
	page  = "docs/lambda.md"
	chart = "docs/lambda.svg"

	begin = "<!-- prices: go run ./internal/proof/plot -->\n"
	end   = "<!-- end of prices -->\n"
)

func main() {
	text, err := os.ReadFile(page)
	if err != nil {
		log.Fatal(err)
	}
	text, err = withPrices(text)
	if err != nil {
		log.Fatal(err)
	}
	for name, content := range map[string][]byte{page: text, chart: []byte(draw())} {
		if err := os.WriteFile(name, content, 0o644); err != nil { //nolint:gosec // everyone may read the documents
			log.Fatal(err)
		}
	}
}

// polls returns how many times per second a container polls the journal, if it is invoked at random, rate times a
// second.
func polls(interval, rate float64) float64 { return 1 / (0.95*interval + 1/rate) }

// withPrices replaces the text between the marks.
func withPrices(text []byte) ([]byte, error) {
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return nil, fmt.Errorf("%s has no marks %q and %q", page, begin, end)
	}
	return []byte(before + begin + prices() + end + after), nil
}

func prices() string {
	var b strings.Builder
	b.WriteString("| containers | invoked | interval | reads a month | dollars a month | reads a second | copies " +
		"needed |\n")
	b.WriteString("| ---: | --- | ---: | ---: | ---: | ---: | ---: |\n")
	for _, containers := range []float64{10, 1000, 100_000} {
		for _, rate := range []float64{0.1, 10} {
			for _, interval := range []float64{1, 10} {
				perSecond := containers * polls(interval, rate)
				perMonth := perSecond * secondsPerMonth
				invoked := map[float64]string{0.1: "every 10 s", 10: "10 times a second"}[rate]
				fmt.Fprintf(&b, "| %s | %s | %g s | %s million | %s | %s | %.0f |\n", thousands(containers), invoked,
					interval,
					thousands(perMonth/1e6), thousands(perMonth*unitsPerPoll*dollarsPerUnit), thousands(perSecond),
					math.Ceil(perSecond*unitsPerPoll/unitsPerPartition))
			}
		}
	}
	return b.String()
}

// thousands formats a number with at least two significant digits, and commas.
func thousands(x float64) string {
	if x < 10 {
		return fmt.Sprintf("%.2f", x)
	}
	s := fmt.Sprintf("%.0f", x)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// age returns the age of the latest poll when an invocation starts: the mean over many invocations.
func age(interval, rate float64) float64 {
	random := rand.New(rand.NewPCG(1, 2))
	const invocations = 100_000
	sum, since, good := 0.0, math.Inf(1), 0.0
	for range invocations {
		if since >= good {
			since, good = 0, interval*(0.9+random.Float64()/10)
		}
		sum += since
		since += random.ExpFloat64() / rate
	}
	return sum / invocations
}

// The chart's frame in pixels, and the ranges of its axes in seconds. Both axes are logarithmic.
const (
	width, height          = 800.0, 460.0
	left, right, top, foot = 80.0, 560.0, 30.0, 390.0
	shortest, longest      = 0.1, 100.0
	freshest, stalest      = 0.01, 100.0
)

func x(interval float64) float64 {
	return left + (right-left)*math.Log(interval/shortest)/math.Log(longest/shortest)
}

func y(age float64) float64 {
	return foot - (foot-top)*math.Log(max(age, freshest)/freshest)/math.Log(stalest/freshest)
}

// draw returns a chart of the age of the latest poll over the interval.
func draw() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" `, width, height)
	b.WriteString(`font-family="sans-serif" font-size="13">` + "\n")
	fmt.Fprintf(&b, `<rect width="%g" height="%g" fill="white"/>`+"\n", width, height)
	for _, tick := range []float64{0.01, 0.1, 1, 10, 100} {
		fmt.Fprintf(&b, `<path d="M%.1f %.1fH%.1f" stroke="#ddd"/>`, left, y(tick), right)
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="end">%g s</text>`+"\n", left-8, y(tick)+4, tick)
		if tick >= shortest {
			fmt.Fprintf(&b, `<path d="M%.1f %.1fV%.1f" stroke="#ddd"/>`, x(tick), top, foot)
			fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="middle">%g s</text>`+"\n", x(tick), foot+20, tick)
		}
	}
	fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="middle">interval</text>`+"\n", (left+right)/2, foot+45)
	fmt.Fprintf(&b, `<text x="%.1f" y="%.1f">age of the latest poll when an invocation starts</text>`+"\n", left,
		top-12)
	line(&b, "maximum: the interval", "#888", 0, func(interval float64) float64 { return interval })
	for n, c := range []struct {
		name, color string
		rate        float64
	}{
		{"mean, 10 invocations a second", "#c0392b", 10}, {"mean, 1 a second", "#2471a3", 1},
		{"mean, 1 in 10 seconds", "#1e8449", 0.1},
	} {
		line(&b, c.name, c.color, float64(20+20*n), func(interval float64) float64 { return age(interval, c.rate) })
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// line draws a curve, and its name to the right of the chart, place pixels below the top.
func line(b *strings.Builder, name, color string, place float64, f func(interval float64) float64) {
	const points = 31
	var path strings.Builder
	for i := range points {
		interval := shortest * math.Pow(longest/shortest, float64(i)/(points-1))
		command := "L"
		if i == 0 {
			command = "M"
		}
		fmt.Fprintf(&path, "%s%.1f %.1f", command, x(interval), y(f(interval)))
	}
	fmt.Fprintf(b, `<path d="%s" fill="none" stroke="%s" stroke-width="2"/>`, path.String(), color)
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" fill="%s">%s</text>`+"\n", right+8, top+4+place, color, name)
}
