package agent

import (
	"github.com/launchdarkly/go-sdk-common/v3/ldreason"
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldmodel"
)

// Reasons of OFREP 0.3.
const (
	reasonStatic         = "STATIC"
	reasonTargetingMatch = "TARGETING_MATCH"
	reasonSplit          = "SPLIT"
	reasonDisabled       = "DISABLED"
	reasonUnknown        = "UNKNOWN"
)

// mapReason returns OFREP's reason for LaunchDarkly's reason, by the table in docs/agent.md. The evaluation's
// metadata also has LaunchDarkly's reason. flag is the flag's configuration; nil means that it can no longer be read.
func mapReason(reason ldreason.EvaluationReason, flag *ldmodel.FeatureFlag) string {
	switch reason.GetKind() {
	case ldreason.EvalReasonOff, ldreason.EvalReasonPrerequisiteFailed:
		return reasonDisabled // the flag serves its off variation
	case ldreason.EvalReasonTargetMatch:
		return reasonTargetingMatch
	case ldreason.EvalReasonRuleMatch:
		if index := reason.GetRuleIndex(); flag != nil && index < len(flag.Rules) &&
			isRollout(flag.Rules[index].VariationOrRollout) {
			return reasonSplit
		}
		return reasonTargetingMatch
	case ldreason.EvalReasonFallthrough:
		switch {
		case flag == nil:
			return reasonUnknown
		case isRollout(flag.Fallthrough):
			return reasonSplit
		default:
			return reasonStatic
		}
	default:
		return reasonUnknown
	}
}

// isRollout reports whether the variation is chosen by a percentage rollout or an experiment.
func isRollout(v ldmodel.VariationOrRollout) bool { return !v.Variation.IsDefined() }
