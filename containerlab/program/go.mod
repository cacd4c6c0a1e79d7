// The version of containerlab that the labs are tried with. Its own module cannot be installed by version, so it is
// built as a dependency of this one: `make containerlab`.
module overlayd.example.org/containerlab

go 1.26

require github.com/srl-labs/containerlab v0.79.0
