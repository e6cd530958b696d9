package agent

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-sdk-common/v3/ldreason"
	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldmodel"
)

// evaluation is OFREP's successful evaluation. Without a Value, the program uses its own default.
type evaluation struct {
	Key    string          `json:"key"`
	Value  json.RawMessage `json:"value,omitempty"`
	Reason string          `json:"reason"`
	// Variant is the variation's index; empty if there is none. OpenFeature for Python requires the member.
	Variant  string         `json:"variant"`
	Metadata map[string]any `json:"metadata,omitempty"`
}

// bulk is a response of the bulk endpoint.
type bulk struct {
	Flags []any `json:"flags"` // each is an evaluation or an evaluationFailure; sorted by key
}

func (h *handler) evaluateOne(w http.ResponseWriter, r *http.Request) {
	key := r.PathValue("key")
	flags, evaluated, failed := h.prepare(r)
	if failed != nil {
		writeFailure(w, key, failed)
		return
	}
	value, detail := flags.Evaluate(key, evaluated)
	if failed := evaluationFailed(key, detail.Reason); failed != nil {
		writeFailure(w, key, failed)
		return
	}
	writeJSON(w, http.StatusOK, newEvaluation(flags.Flag(key), key, value, detail.VariationIndex, detail.Reason))
}

func (h *handler) evaluateAll(w http.ResponseWriter, r *http.Request) {
	flags, evaluated, failed := h.prepare(r)
	if failed != nil {
		writeFailure(w, "", failed)
		return
	}
	state := flags.EvaluateAll(evaluated)
	if !state.IsValid() {
		writeFailure(w, "",
			&failure{http.StatusInternalServerError, codeGeneral,
				"the flags cannot be read; the agent's log has the reason"})
		return
	}
	answer := bulk{Flags: []any{}}
	for _, key := range slices.Sorted(maps.Keys(state.ToValuesMap())) {
		f, _ := state.GetFlag(key)
		if failed := evaluationFailed(key, f.Reason); failed != nil {
			answer.Flags = append(answer.Flags, evaluationFailure{key, failed.code, failed.details})
			continue
		}
		answer.Flags = append(answer.Flags, newEvaluation(flags.Flag(key), key, f.Value, f.Variation, f.Reason))
	}
	tag, err := etag(answer, evaluated)
	if err != nil {
		panic(err) // a fault in this package: the response can be marshaled
	}
	w.Header().Set("ETag", tag)
	if matches(r.Header.Values("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

// prepare reads the request, waits for the flags and refreshes them.
func (h *handler) prepare(r *http.Request) (Flags, ldcontext.Context, *failure) {
	attributes, failed := readContext(r)
	if failed != nil {
		return nil, ldcontext.Context{}, failed
	}
	evaluated, failed := parseContext(attributes)
	if failed != nil {
		return nil, ldcontext.Context{}, failed
	}
	flags, err := h.loader.Flags(r.Context())
	if err != nil {
		return nil, ldcontext.Context{}, &failure{http.StatusInternalServerError, codeGeneral,
			"the flags are not loaded: " + err.Error()}
	}
	_ = flags.Refresh(r.Context()) // Refresh logs its errors; the last known values are served
	return flags, evaluated, nil
}

// evaluationFailed returns the failure for LaunchDarkly's reason; nil if the evaluation succeeded.
func evaluationFailed(key string, reason ldreason.EvaluationReason) *failure {
	if reason.GetKind() != ldreason.EvalReasonError {
		return nil
	}
	switch reason.GetErrorKind() {
	case ldreason.EvalErrorFlagNotFound:
		return &failure{http.StatusNotFound, codeFlagNotFound, fmt.Sprintf("flag %q is not in this environment", key)}
	case ldreason.EvalErrorMalformedFlag:
		return &failure{code: codeParseError, details: fmt.Sprintf("flag %q is malformed", key)}
	case ldreason.EvalErrorUserNotSpecified:
		return invalidContext("the context is not valid")
	default:
		return &failure{http.StatusInternalServerError, codeGeneral,
			fmt.Sprintf("flag %q cannot be evaluated (%s); the agent's log has the reason", key, reason.GetErrorKind())}
	}
}

func newEvaluation(
	flag *ldmodel.FeatureFlag, key string, value ldvalue.Value, variation ldvalue.OptionalInt,
	reason ldreason.EvaluationReason,
) evaluation {
	e := evaluation{Key: key, Reason: mapReason(reason, flag), Metadata: metadata(reason, flag)}
	if !value.IsNull() {
		e.Value = canonical(value.JSONString())
	}
	if index, found := variation.Get(); found {
		e.Variant = strconv.Itoa(index)
	}
	return e
}

// metadata returns the flag's version and LaunchDarkly's own reason as OFREP's metadata, which has no nested objects.
func metadata(reason ldreason.EvaluationReason, flag *ldmodel.FeatureFlag) map[string]any {
	m := map[string]any{"launchdarklyReason": string(reason.GetKind())}
	if flag != nil {
		m["flagVersion"] = flag.Version
	}
	if kind := reason.GetErrorKind(); kind != "" {
		m["errorKind"] = string(kind)
	}
	if reason.GetKind() == ldreason.EvalReasonRuleMatch {
		m["ruleIndex"], m["ruleId"] = reason.GetRuleIndex(), reason.GetRuleID()
	}
	if key := reason.GetPrerequisiteKey(); key != "" {
		m["prerequisiteKey"] = key
	}
	if reason.IsInExperiment() {
		m["inExperiment"] = true
	}
	return m
}

// canonical returns JSON text whose objects have sorted keys. The texts of LaunchDarkly's values and contexts have them
// in random order.
func canonical(text string) json.RawMessage {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber() // keeps numbers as they are
	var value any
	err := decoder.Decode(&value)
	sorted, marshalErr := json.Marshal(value)
	if err = errors.Join(err, marshalErr); err != nil {
		panic(err) // a fault in this package: text is JSON
	}
	return sorted
}

// etag returns a strong validator for the flags' values and the context.
func etag(answer bulk, evaluated ldcontext.Context) (string, error) {
	hash := sha256.New()
	err := json.NewEncoder(hash).Encode(answer)
	if err == nil {
		_, err = hash.Write(canonical(evaluated.String()))
	}
	return `"` + base64.RawURLEncoding.EncodeToString(hash.Sum(nil)[:18]) + `"`, err
}

// matches reports whether an If-None-Match header lists the tag.
func matches(headers []string, tag string) bool {
	for _, header := range headers {
		for listed := range strings.SplitSeq(header, ",") {
			if listed = strings.TrimSpace(listed); listed == "*" || strings.TrimPrefix(listed, "W/") == tag {
				return true
			}
		}
	}
	return false
}
