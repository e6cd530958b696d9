package expression

import "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

// Projection is a projection expression: which parts of an item to return. Nil returns all.
type Projection []path

// Projection parses a projection expression; a nil text projects everything.
func (p *Params) Projection(text *string) (Projection, error) {
	if text == nil {
		return nil, nil
	}
	var list Projection
	err := p.parse("ProjectionExpression", *text, func(ps *parser) {
		for more := true; more; _, more = ps.sign(",") {
			next := ps.path()
			for _, other := range list {
				if next.overlaps(other) {
					ps.fail("Two document paths overlap with each other; must remove or rewrite one of these paths; path one: %s, path two: %s", other, next)
				}
			}
			list = append(list, next)
		}
	})
	return list, err
}

// Apply returns a copy of the item's projected parts; nil for nil.
func (p Projection) Apply(item Item) Item {
	if p == nil || item == nil {
		return Copy(item)
	}
	return part(item, p)
}

// part keeps of a map what the paths lead to. Elements of a list keep their order, not their places.
func part(item Item, paths []path) Item {
	kept := Item{}
	for name, v := range item {
		if below, whole := under(paths, name); whole {
			kept[name] = copyValue(v)
		} else if len(below) > 0 {
			if sub := partOf(v, below); sub != nil {
				kept[name] = sub
			}
		}
	}
	return kept
}

func partOf(v types.AttributeValue, paths []path) types.AttributeValue {
	switch v := v.(type) {
	case *types.AttributeValueMemberM:
		if sub := part(v.Value, paths); len(sub) > 0 {
			return &types.AttributeValueMemberM{Value: sub}
		}
	case *types.AttributeValueMemberL:
		var kept []types.AttributeValue
		for i, e := range v.Value {
			if below, whole := under(paths, i); whole {
				kept = append(kept, copyValue(e))
			} else if sub := partOf(e, below); len(below) > 0 && sub != nil {
				kept = append(kept, sub)
			}
		}
		if kept != nil {
			return &types.AttributeValueMemberL{Value: kept}
		}
	}
	return nil
}

// under returns what follows step in the paths that begin with it; whole means that one of them ends there.
func under(paths []path, step any) (below []path, whole bool) {
	for _, p := range paths {
		if p[0] == step {
			if len(p) == 1 {
				return nil, true
			}
			below = append(below, p[1:])
		}
	}
	return below, false
}
