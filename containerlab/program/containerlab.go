// Package containerlab does nothing: it makes containerlab a dependency of this module.
package containerlab

import _ "github.com/srl-labs/containerlab/cmd"
