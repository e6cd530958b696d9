package operate

import (
	"fmt"
	"strings"

	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldmodel"
)

// Kinds of items.
const (
	Features = "features"
	Segments = "segments"
)

var model = ldmodel.NewJSONDataModelSerialization()

// describe says in words what an item's JSON means.
func describe(kind, json string) string {
	if kind == Segments {
		segment, err := model.UnmarshalSegment([]byte(json))
		if err != nil {
			return unparsable(err)
		}
		return describeSegment(&segment)
	}
	flag, err := model.UnmarshalFeatureFlag([]byte(json))
	if err != nil {
		return unparsable(err)
	}
	return describeFlag(&flag)
}

func unparsable(err error) string {
	return "LaunchDarkly's evaluator for Go cannot parse it: " + err.Error()
}

func describeFlag(f *ldmodel.FeatureFlag) string {
	if !f.On {
		if !f.OffVariation.IsDefined() {
			return "off; no off variation: programs use their default"
		}
		return "off; " + variation(f, f.OffVariation.IntValue())
	}
	targets := 0
	for _, list := range [][]ldmodel.Target{f.Targets, f.ContextTargets} {
		for _, t := range list {
			targets += len(t.Values)
		}
	}
	return join("on; "+choice(f, f.Fallthrough)+" if nothing matches",
		count(len(f.Prerequisites), "prerequisite"), count(targets, "target"), count(len(f.Rules), "rule"))
}

func describeSegment(s *ldmodel.Segment) string {
	included, excluded := len(s.Included), len(s.Excluded)
	for _, t := range s.IncludedContexts {
		included += len(t.Values)
	}
	for _, t := range s.ExcludedContexts {
		excluded += len(t.Values)
	}
	if s.Unbounded {
		return join("a big segment, whose members are rows of their own", count(len(s.Rules), "rule"))
	}
	return join(fmt.Sprintf("%d included, %d excluded", included, excluded), count(len(s.Rules), "rule"))
}

// choice says which variation is served: one, or one by percentage.
func choice(f *ldmodel.FeatureFlag, v ldmodel.VariationOrRollout) string {
	if index, ok := v.Variation.Get(); ok {
		return variation(f, index)
	}
	shares := make([]string, 0, len(v.Rollout.Variations))
	for _, w := range v.Rollout.Variations {
		shares = append(shares, fmt.Sprintf("%g %% %s", float64(w.Weight)/1000, variation(f, w.Variation)))
	}
	kind := "a rollout"
	if v.Rollout.IsExperiment() {
		kind = "an experiment"
	}
	return kind + " of " + strings.Join(shares, ", ")
}

func variation(f *ldmodel.FeatureFlag, index int) string {
	if index < 0 || index >= len(f.Variations) {
		return fmt.Sprintf("variation %d, which does not exist", index)
	}
	return fmt.Sprintf("variation %d (%s)", index, shorten(f.Variations[index]))
}

// shorten returns a value's JSON, cut to what fits on a line.
func shorten(v ldvalue.Value) string {
	const width = 40
	if runes := []rune(v.JSONString()); len(runes) > width {
		return string(runes[:width]) + "..."
	}
	return v.JSONString()
}

// join joins the words that are not empty.
func join(words ...string) string {
	kept := words[:0]
	for _, w := range words {
		if w != "" {
			kept = append(kept, w)
		}
	}
	return strings.Join(kept, "; ")
}

// count is [Count], but "" for 0.
func count(n int, noun string) string {
	if n == 0 {
		return ""
	}
	return Count(n, noun)
}
