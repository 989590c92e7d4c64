"""What this facade grants of scarce things that several agents share."""
