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
	// maxBatch is how many messages one SendMessageBatch can have.
	maxBatch = 10
	// ageTimeout limits the reading of all $sync rows, and maxAgeReads how many are read at once.
	ageTimeout  = 10 * time.Second
	maxAgeReads = 8
)

// all handles a request for all environments: it sends a request for each, and measures how long ago each was synced.
// A single environment is synced right away.
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

// send sends a request for each environment. Their cause is this request's message: should it be handled twice within
// five minutes, SQS drops the second ones.
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

// measure reads the $sync row of each environment. A row that cannot be read is left out, with a warning for all of
// them: a table that cannot be read must not keep a request from being done.
func (h *Handler) measure(ctx context.Context, prefixes []string, l *requestLine) {
	ctx, cancel := context.WithTimeout(ctx, ageTimeout)
	defer cancel()
	var mu sync.Mutex // guards l's ages and problems
	var problems []error
	var group errgroup.Group // without a context: one row that cannot be read must not stop the others
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

// syncAge returns how long ago the environment was synced. A sync that is held is reported elsewhere, and counts.
// Where there was none yet, it is how long ago the environment was first seen.
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
