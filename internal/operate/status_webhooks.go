package operate

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
)

// webhookWindow is how far the report looks back in the functions' log.
const webhookWindow = 24 * time.Hour

// webhookLines selects the lines of the functions webhook and flagsync
// (https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html).
const webhookLines = `{ ($.message = "webhook") || ($.message = "request handled") }`

// Webhooks are those of the last 24 hours, as the functions logged them.
type Webhooks struct {
	NotKnown string `json:"not_known,omitempty"`
	// Accepted is when a webhook was last accepted; nil: none was.
	Accepted *time.Time `json:"accepted"`
	// Refused is the last one that was not; nil: none. RefusedCount is how many there were.
	Refused      *RefusedWebhook `json:"refused"`
	RefusedCount int             `json:"refused_count"`
	// UnsignedCount is how many requests without a signature were refused. Any program can send them; LaunchDarkly
	// does if "Sign this webhook" is off.
	UnsignedCount int `json:"unsigned_count"`
	// UnknownEnvironments are named by webhooks, and have no SDK key.
	UnknownEnvironments []UnknownEnvironment `json:"unknown_environments"`
}

// RefusedWebhook is a request that was not answered with 202.
type RefusedWebhook struct {
	Time   time.Time `json:"time"`
	Status int       `json:"status"`
	Answer string    `json:"answer"`
	Prefix string    `json:"prefix"`
	From   string    `json:"from"`
}

// UnknownEnvironment is a prefix in the path of webhooks.
type UnknownEnvironment struct {
	Prefix   string    `json:"prefix"`
	Webhooks int       `json:"webhooks"`
	Last     time.Time `json:"last"`
}

// logLine is what is used of a line of the functions' log.
type logLine struct {
	Time    time.Time `json:"timestamp"`
	Message string    `json:"message"`
	Status  int       `json:"status"` // of a webhook
	Sum     string    `json:"sha256"` // of its body, in hex
	Signed  bool      `json:"signed"` // it has a signature, right or wrong
	Answer  string    `json:"answer"`
	From    string    `json:"from"`
	Prefix  string    `json:"prefix"`
	Reason  string    `json:"reason"` // of a request
	Error   string    `json:"error"`
}

// webhooks reads the functions' log.
func (r *reading) webhooks(ctx context.Context) error {
	if r.stack.LogGroup == "" {
		return errors.New("the stack has no output LogGroup")
	}
	pages := cloudwatchlogs.NewFilterLogEventsPaginator(r.Logs, &cloudwatchlogs.FilterLogEventsInput{
		LogGroupName: &r.stack.LogGroup, FilterPattern: aws.String(webhookLines),
		StartTime: aws.Int64(r.now.Add(-webhookWindow).UnixMilli()),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, e := range page.Events {
			var line logLine
			if json.Unmarshal([]byte(aws.ToString(e.Message)), &line) == nil {
				r.report.Webhooks.add(line)
			}
		}
	}
	slices.SortFunc(r.report.Webhooks.UnknownEnvironments, func(a, b UnknownEnvironment) int {
		return cmp.Compare(a.Prefix, b.Prefix)
	})
	return nil
}

// unsignedSum is the hash of [unsignedBody] as the function webhook logs it.
var unsignedSum = fmt.Sprintf("%x", sha256.Sum256([]byte(unsignedBody)))

// add counts one line. Lines come in any order.
func (w *Webhooks) add(l logLine) {
	switch {
	case l.Message == "webhook" && l.Status == http.StatusAccepted:
		if w.Accepted == nil || l.Time.After(*w.Accepted) {
			w.Accepted = at(l.Time)
		}
	case l.Message == "webhook" && l.Sum == unsignedSum: // doctor's own request
	case l.Message == "webhook" && !l.Signed && l.Status < http.StatusInternalServerError:
		w.UnsignedCount++
	case l.Message == "webhook":
		w.RefusedCount++
		if w.Refused == nil || l.Time.After(w.Refused.Time) {
			w.Refused = &RefusedWebhook{l.Time.UTC(), l.Status, l.Answer, l.Prefix, l.From}
		}
	case l.Message == "request handled" && l.Reason == "webhook" &&
		strings.Contains(l.Error, "there is no SDK key for prefix"):
		i := slices.IndexFunc(w.UnknownEnvironments, func(u UnknownEnvironment) bool { return u.Prefix == l.Prefix })
		if i < 0 {
			i = len(w.UnknownEnvironments)
			w.UnknownEnvironments = append(w.UnknownEnvironments, UnknownEnvironment{Prefix: l.Prefix})
		}
		u := &w.UnknownEnvironments[i]
		u.Webhooks++
		if l.Time.After(u.Last) {
			u.Last = l.Time.UTC()
		}
	}
}
