package flagsync

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/errgroup"

	"github.com/warmflags/warmflags/internal/request"
	"github.com/warmflags/warmflags/internal/table"
)

const (
	// maxBatch is SQS's limit of messages in one SendMessageBatch.
	maxBatch = 10
	// ageTimeout bounds the time to read all $sync rows, and maxAgeReads the number of concurrent reads.
	ageTimeout  = 10 * time.Second
	maxAgeReads = 8
)

// all handles a request for all environments: it sends one request per environment and measures how long ago each one
// was synced. If there is only one environment, it is synced right away.
func (h *Handler) all(ctx context.Context, l *requestLine) error {
	keys, err := h.keys(ctx, false)
	if err != nil {
		return err
	}
	prefixes := slices.Sorted(maps.Keys(keys))
	if len(prefixes) == 1 {
		err = h.one(ctx, prefixes[0], l)
	} else {
		err = h.send(ctx, prefixes, l)
	}
	h.measure(ctx, prefixes, l)
	return err
}

// send sends a request for each environment. Their cause is the ID of this request's message. If this request is
// handled twice within five minutes, SQS therefore drops the second set as duplicates.
func (h *Handler) send(ctx context.Context, prefixes []string, l *requestLine) error {
	if h.options.queue == nil {
		return fmt.Errorf("send requests for %d environments: option Queue is missing", len(prefixes))
	}
	for chunk := range slices.Chunk(prefixes, maxBatch) {
		in := &sqs.SendMessageBatchInput{QueueUrl: &h.options.queueURL}
		for i, prefix := range chunk {
			m, err := request.Request{Reason: l.request.Reason, Prefix: &prefix, Cause: l.record.MessageId}.Message()
			if err != nil {
				return err
			}
			in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), MessageBody: &m.Body, MessageGroupId: &m.Group,
				MessageDeduplicationId: &m.DeduplicationID,
			})
		}
		out, err := h.options.queue.SendMessageBatch(ctx, in)
		if err != nil {
			return fmt.Errorf("send requests to queue %q: %w", h.options.queueURL, err)
		}
		l.requests += len(out.Successful)
		if len(out.Failed) > 0 {
			return fmt.Errorf("send requests to queue %q: %d of %d failed: %s", h.options.queueURL, len(out.Failed),
				len(chunk), aws.ToString(out.Failed[0].Message))
		}
	}
	return nil
}

// measure reads the $sync row of each environment and notes the oldest sync in l. It leaves out rows that cannot be
// read and logs one warning for all of them: a failure to measure must not fail the request.
func (h *Handler) measure(ctx context.Context, prefixes []string, l *requestLine) {
	ctx, cancel := context.WithTimeout(ctx, ageTimeout)
	defer cancel()
	var mu sync.Mutex // guards l's ages and problems
	var problems []error
	var group errgroup.Group // without a context: a failed read must not cancel the other reads
	group.SetLimit(maxAgeReads)
	for _, prefix := range prefixes {
		group.Go(func() error {
			age, err := syncAge(ctx, &table.Environment{Client: h.client, Table: h.table, Prefix: prefix})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				problems = append(problems, err)
				return nil
			}
			l.aged, l.oldest = true, max(l.oldest, age)
			return nil
		})
	}
	_ = group.Wait()
	if len(problems) > 0 {
		h.options.logger.WarnContext(ctx, "the age of some environments is unknown", "environments", len(problems),
			"error", problems[0])
	}
}

// syncAge returns the time since the environment's last sync. A sync that was held counts, because it has a metric of
// its own. If there was no sync yet, syncAge returns the time since the environment was first seen.
func syncAge(ctx context.Context, e *table.Environment) (time.Duration, error) {
	state, err := e.SyncState(ctx)
	if err != nil {
		return 0, err
	}
	now := time.Now()
	latest := slices.MaxFunc([]time.Time{state.Since, state.Synced, state.Held}, time.Time.Compare)
	if latest.IsZero() {
		return 0, e.NoteSince(ctx, now)
	}
	return max(now.Sub(latest), 0), nil
}
