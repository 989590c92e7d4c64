"""The commands of `foreact`: declared in `cli.app`, carried out by its neighbours."""
