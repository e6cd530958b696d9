package demo

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is what a run saw. Its JSON is what `warmflags demo --json` prints. Times are milliseconds, end to end
// (from a flip to a consumer's first evaluation that shows it) where they do not say otherwise.
type Report struct {
	Changes   int      `json:"changes"`   // flips that were made
	Alone     int      `json:"alone"`     // flips that went alone
	Consumers int      `json:"consumers"` // clients that evaluated flags
	Services  int      `json:"services"`  // more of them, which poll the journal on a timer
	Lambdas   int      `json:"lambdas"`   // more of them, in warm Lambdas
	Flags     int      `json:"flags"`
	Seed      uint64   `json:"seed"`
	Sabotage  Sabotage `json:"sabotage,omitempty"`
	Fault     string   `json:"fault,omitempty"` // the first that was seen, which ended a sabotaged run
	Lost      int      `json:"lost"`            // flips times consumers that never saw them or a later version
	// evaluations that returned an older version than the one of which their client was notified
	Stale       int      `json:"stale_reads"`
	Examples    []string `json:"examples,omitempty"`
	Evaluations int64    `json:"evaluations"`
	Failures    int64    `json:"failed_evaluations"`
	P50         float64  `json:"p50_ms"`
	P99         float64  `json:"p99_ms"`
	Max         float64  `json:"max_ms"`
	Hops        []Hop    `json:"hops"`           // of the flips that went alone
	ServiceP50  float64  `json:"service_p50_ms"` // end to end, to services that poll; the interval counts
	ServiceP99  float64  `json:"service_p99_ms"`
	ServiceMax  float64  `json:"service_max_ms"`
	LambdaP50   float64  `json:"lambda_p50_ms"` // end to end, to warm Lambdas; a freeze counts
	LambdaP99   float64  `json:"lambda_p99_ms"`
	LambdaMax   float64  `json:"lambda_max_ms"`
	TableReads  int      `json:"table_reads"`  // all GetItem and Query calls, except polls of the journal
	TableWrites int      `json:"table_writes"` // transactions and single writes
	Polls       int      `json:"journal_reads"`
	Appends     int      `json:"journal_writes"`
	Messages    int      `json:"messages"`  // SNS messages published
	Syncs       int      `json:"syncs"`     // runs of flagsync after the first
	Coalesced   int      `json:"coalesced"` // flips that had no message of their own
	Seconds     float64  `json:"seconds"`

	latencies []time.Duration
}

// Hop is one part of the path.
type Hop struct {
	Name string  `json:"name"`
	P50  float64 `json:"p50_ms"`
	P99  float64 `json:"p99_ms"`
	Max  float64 `json:"max_ms"`
}

// OK reports whether nothing was lost and nothing stale, and every evaluation worked.
func (r *Report) OK() bool { return r.Lost == 0 && r.Stale == 0 && r.Failures == 0 }

func newReport(c Config, b *board, p *path, took time.Duration) *Report {
	r := &Report{
		Consumers: c.Consumers, Services: c.Services, Lambdas: c.Lambdas, Flags: c.Flags, Seed: c.Seed,
		Sabotage: c.Sabotage,
		Seconds:  math.Round(took.Seconds()*100) / 100, Messages: p.streams.Stats().Messages,
		TableReads:  p.cloud.Calls("GetItem") + p.cloud.Calls("Query"),
		TableWrites: p.cloud.Calls("TransactWriteItems") + p.cloud.Calls("UpdateItem"),
		Appends:     p.cloud.Calls("PutItem"), // nothing else puts single items
	}
	for _, w := range p.pollers {
		r.Polls += w.open.Stats().Journal.Polls
	}
	r.TableReads -= r.Polls
	for _, x := range p.consumers {
		r.Evaluations += x.evaluations.Load()
		r.Failures += x.failures.Load()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	r.Changes, r.Alone, r.Stale, r.Examples, r.Syncs = len(b.flips), b.lone, b.stale, b.examples, b.syncs
	r.Coalesced = max(0, r.Changes-(r.Messages-p.firstMessages))
	r.Messages -= p.firstMessages
	hops := newHops()
	var services, lambdas []time.Duration
	for _, f := range b.flips {
		for id, s := range f.seen {
			if s.evaluated.IsZero() {
				r.Lost++
				continue
			}
			switch took := s.evaluated.Sub(f.at); {
			case id >= c.Consumers+c.Services:
				lambdas = append(lambdas, took)
			case id >= c.Consumers:
				services = append(services, took)
			default:
				r.latencies = append(r.latencies, took)
				if f.alone {
					hops.add(f, s)
				}
			}
		}
	}
	r.P50, r.P99, r.Max = percentiles(r.latencies)
	r.ServiceP50, r.ServiceP99, r.ServiceMax = percentiles(services)
	r.LambdaP50, r.LambdaP99, r.LambdaMax = percentiles(lambdas)
	r.Hops = hops.list()
	return r
}

// hops are the times of each part of the way.
type hops struct{ webhook, sync, fanOut, look []time.Duration }

func newHops() *hops { return &hops{} }

func (h *hops) add(f *flip, s sighting) {
	if f.queued.IsZero() || f.streamed.IsZero() || s.invalidated.IsZero() {
		return // an evaluation came before the message: the flag was read for another reason
	}
	h.webhook = append(h.webhook, f.queued.Sub(f.at))
	h.sync = append(h.sync, f.streamed.Sub(f.queued))
	h.fanOut = append(h.fanOut, s.invalidated.Sub(f.streamed))
	h.look = append(h.look, s.evaluated.Sub(s.invalidated))
}

func (h *hops) list() []Hop {
	var list []Hop
	for _, hop := range []struct {
		name  string
		times []time.Duration
	}{
		{"webhook, to the queue", h.webhook}, {"sync, to the table's stream", h.sync},
		{"fan-out, to the cache", h.fanOut}, {"next evaluation", h.look},
	} {
		p50, p99, most := percentiles(hop.times)
		list = append(list, Hop{hop.name, p50, p99, most})
	}
	return list
}

func percentiles(times []time.Duration) (p50, p99, most float64) {
	if len(times) == 0 {
		return 0, 0, 0
	}
	slices.Sort(times)
	at := func(share float64) float64 {
		i := int(math.Ceil(share*float64(len(times)))) - 1
		return math.Round(float64(times[max(i, 0)].Microseconds())/10) / 100
	}
	return at(0.50), at(0.99), at(1)
}

// WriteTo prints the report for a person.
func (r *Report) WriteTo(w io.Writer) (int64, error) {
	var out strings.Builder
	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(table, "changes\t%d, %d of them alone, in %.1f s\n", r.Changes, r.Alone, r.Seconds)
	_, _ = fmt.Fprintf(table, "consumers\t%d, %d services that poll and %d warm Lambdas, %d evaluations, %d failed\n",
		r.Consumers, r.Services, r.Lambdas, r.Evaluations, r.Failures)
	_, _ = fmt.Fprintf(table, "lost\t%d\n", r.Lost)
	_, _ = fmt.Fprintf(table, "stale reads\t%d\n", r.Stale)
	_, _ = fmt.Fprintf(table, "syncs\t%d\n", r.Syncs)
	_, _ = fmt.Fprintf(table, "messages\t%d, %d changes coalesced\n", r.Messages, r.Coalesced)
	_, _ = fmt.Fprintf(table, "table\t%d reads, %d writes\n", r.TableReads, r.TableWrites)
	_, _ = fmt.Fprintf(table, "journal\t%d reads, %d writes\n", r.Polls, r.Appends)
	_ = table.Flush()
	_, _ = fmt.Fprintln(&out)
	_, _ = fmt.Fprintf(table, "milliseconds\tp50\tp99\tmax\n")
	for _, h := range r.Hops {
		_, _ = fmt.Fprintf(table, "%s\t%.1f\t%.1f\t%.1f\n", h.Name, h.P50, h.P99, h.Max)
	}
	_, _ = fmt.Fprintf(table, "flip to evaluation\t%.1f\t%.1f\t%.1f\n", r.P50, r.P99, r.Max)
	if r.Services > 0 {
		_, _ = fmt.Fprintf(table, "flip to a service that polls\t%.1f\t%.1f\t%.1f\n", r.ServiceP50,
			r.ServiceP99, r.ServiceMax)
	}
	if r.Lambdas > 0 {
		_, _ = fmt.Fprintf(table, "flip to a warm Lambda\t%.1f\t%.1f\t%.1f\n", r.LambdaP50, r.LambdaP99, r.LambdaMax)
	}
	_ = table.Flush()
	out.WriteString(histogram(r.latencies))
	for _, e := range r.Examples {
		_, _ = fmt.Fprintf(&out, "stale: %s\n", e)
	}
	n, err := io.WriteString(w, out.String())
	return int64(n), err
}

// histogram draws times in buckets that double.
func histogram(times []time.Duration) string {
	const width = 50
	counts := map[int]int{}
	low, high, most := math.MaxInt, 0, 0
	for _, t := range times {
		bucket := 0
		for limit := time.Millisecond; t > limit; limit *= 2 {
			bucket++
		}
		counts[bucket]++
		low, high, most = min(low, bucket), max(high, bucket), max(most, counts[bucket])
	}
	var out strings.Builder
	if len(times) > 0 {
		out.WriteString("\nflip to evaluation, by consumer\n")
	}
	for bucket := low; bucket <= high; bucket++ {
		bar := strings.Repeat("#", (counts[bucket]*width+most-1)/most)
		_, _ = fmt.Fprintf(&out, "%9s  %-*s %d\n", "≤"+label(time.Millisecond<<bucket), width, bar, counts[bucket])
	}
	return out.String()
}

// label returns a time with at most four digits: "512 ms", "4.1 s", "17.5 min".
func label(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%.1f min", d.Minutes())
}
