package operate

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-sdk-common/v3/ldreason"
	evaluation "github.com/launchdarkly/go-server-sdk-evaluation/v3"
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldmodel"

	"github.com/warmflags/warmflags/dynamostore"
	"github.com/warmflags/warmflags/internal/table"
)

// Evaluation is what a flag of the table evaluates to for one context.
type Evaluation struct {
	Value     json.RawMessage `json:"value"`     // null: programs use their default
	Variation *int            `json:"variation"` // null: none
	Reason    string          `json:"reason"`    // LaunchDarkly's, such as RULE_MATCH
	RuleIndex *int            `json:"rule_index,omitempty"`
	RuleID    string          `json:"rule_id,omitempty"`
	Because   string          `json:"because"` // the reason in words
}

// Evaluate evaluates a flag from the table's rows, as a client in daemon mode does, with LaunchDarkly's evaluator. It
// reads the flag, its prerequisites and the segments that they need, one row each, and sends no events.
func Evaluate(ctx context.Context, e *table.Environment, key string, c ldcontext.Context) (*Evaluation, error) {
	if err := c.Err(); err != nil {
		return nil, err
	}
	rows := &rowProvider{ctx: ctx, environment: e}
	flag := rows.GetFeatureFlag(key)
	if flag == nil {
		return &Evaluation{
			Value: json.RawMessage("null"), Reason: string(ldreason.EvalReasonError),
			Because: "the table has no such flag: programs use their default",
		}, errors.Join(rows.failed...)
	}
	prerequisites := map[string]ldreason.EvaluationDetail{}
	record := func(p evaluation.PrerequisiteFlagEvent) {
		prerequisites[p.PrerequisiteFlag.Key] = p.PrerequisiteResult.Detail
	}
	detail := evaluation.NewEvaluatorWithOptions(rows, evaluation.EvaluatorOptionBigSegmentProvider(rows)).
		Evaluate(flag, c, record).Detail
	if err := errors.Join(rows.failed...); err != nil {
		return nil, fmt.Errorf("evaluate flag %q: %w", key, err)
	}
	found := &Evaluation{
		Value: json.RawMessage(detail.Value.JSONString()), Variation: detail.VariationIndex.AsPointer(),
		Reason: string(detail.Reason.GetKind()), RuleID: detail.Reason.GetRuleID(),
		Because: because(flag, detail, prerequisites),
	}
	if detail.Reason.GetKind() == ldreason.EvalReasonRuleMatch {
		index := detail.Reason.GetRuleIndex()
		found.RuleIndex = &index
	}
	return found, nil
}

// because says an evaluation's reason in words. Rules count from 1, as in LaunchDarkly's user interface.
func because(
	f *ldmodel.FeatureFlag, d ldreason.EvaluationDetail, prerequisites map[string]ldreason.EvaluationDetail,
) string {
	text := ""
	served := ldmodel.VariationOrRollout{Variation: d.VariationIndex}
	switch r := d.Reason; r.GetKind() {
	case ldreason.EvalReasonOff:
		text = "the flag is off"
	case ldreason.EvalReasonTargetMatch:
		text = "the context is an individual target"
	case ldreason.EvalReasonRuleMatch:
		text = fmt.Sprintf("rule %d of %d (id %q) matched", r.GetRuleIndex()+1, len(f.Rules), r.GetRuleID())
		served = f.Rules[r.GetRuleIndex()].VariationOrRollout
	case ldreason.EvalReasonFallthrough:
		text, served = "the flag is on, and no target and no rule matched", f.Fallthrough
	case ldreason.EvalReasonPrerequisiteFailed:
		text = failedPrerequisite(f, r.GetPrerequisiteKey(), prerequisites)
	default:
		text = fmt.Sprintf("the flag cannot be evaluated: LaunchDarkly's evaluator reports %s", r.GetErrorKind())
	}
	switch index, ok := d.VariationIndex.Get(); {
	case !ok:
		text += "; no variation is served, so programs use their default"
	case served.Variation.IsDefined():
		text += fmt.Sprintf("; variation %d is served", index)
	default:
		text += fmt.Sprintf("; %s chose variation %d", choice(f, served), index)
	}
	if status := d.Reason.GetBigSegmentsStatus(); status != "" && status != ldreason.BigSegmentsHealthy {
		text += fmt.Sprintf("; the big segments are not up to date (%s)", status)
	}
	return text
}

func failedPrerequisite(f *ldmodel.FeatureFlag, key string, results map[string]ldreason.EvaluationDetail) string {
	result, ok := results[key]
	if !ok {
		return fmt.Sprintf("prerequisite %q is not in the table", key)
	}
	text := fmt.Sprintf("prerequisite %q serves no variation", key)
	if index, ok := result.VariationIndex.Get(); ok {
		text = fmt.Sprintf("prerequisite %q serves variation %d", key, index)
	}
	if result.Reason.GetKind() == ldreason.EvalReasonOff {
		text = fmt.Sprintf("prerequisite %q is off", key)
	}
	for _, p := range f.Prerequisites {
		if p.Key == key {
			text += fmt.Sprintf(", and variation %d is needed", p.Variation)
		}
	}
	return text
}

// rowProvider gives LaunchDarkly's evaluator the rows of an environment. Its methods cannot return errors, so it keeps
// them. It is not safe for concurrent use.
type rowProvider struct {
	ctx         context.Context
	environment *table.Environment
	failed      []error
}

// GetFeatureFlag implements [evaluation.DataProvider].
func (p *rowProvider) GetFeatureFlag(key string) *ldmodel.FeatureFlag {
	return read(p, Features, key, model.UnmarshalFeatureFlag)
}

// GetSegment implements [evaluation.DataProvider].
func (p *rowProvider) GetSegment(key string) *ldmodel.Segment {
	return read(p, Segments, key, model.UnmarshalSegment)
}

// read reads an item. It returns nil for a missing item, a tombstone, and what cannot be read, which is an error.
func read[T any](p *rowProvider, kind, key string, parse func([]byte) (T, error)) *T {
	row, err := p.environment.ReadRow(p.ctx, kind, key)
	if row == nil {
		if err != nil {
			p.failed = append(p.failed, err)
		}
		return nil
	}
	item, err := table.ParseRow(row)
	if err == nil && item.IsTombstone() {
		return nil
	}
	var parsed T
	if err == nil {
		parsed, err = parse([]byte(item.JSON))
	}
	if err != nil {
		p.failed = append(p.failed, fmt.Errorf("read row %q %q: %w", p.environment.Namespace(kind), key, err))
		return nil
	}
	return &parsed
}

// staleBigSegments is the age at which LaunchDarkly's SDKs take big segments for stale, by default.
const staleBigSegments = 2 * time.Minute

// GetMembership implements [evaluation.BigSegmentProvider].
func (p *rowProvider) GetMembership(contextKey string) (evaluation.BigSegmentMembership, ldreason.BigSegmentsStatus) {
	hash := sha256.Sum256([]byte(contextKey)) // as LaunchDarkly's big segments specification says
	e := p.environment
	store, err := dynamostore.BigSegmentStore(e.Table).Client(e.Client).Prefix(e.Prefix).Build(nil)
	if err != nil {
		p.failed = append(p.failed, err)
		return nil, ldreason.BigSegmentsStoreError
	}
	defer func() { _ = store.Close() }()
	membership, err := store.GetMembership(base64.StdEncoding.EncodeToString(hash[:]))
	metadata, errMetadata := store.GetMetadata()
	if err := errors.Join(err, errMetadata); err != nil {
		p.failed = append(p.failed, err)
		return nil, ldreason.BigSegmentsStoreError
	}
	if time.Since(time.UnixMilli(int64(metadata.LastUpToDate))) > staleBigSegments {
		return membership, ldreason.BigSegmentsStale
	}
	return membership, ldreason.BigSegmentsHealthy
}
