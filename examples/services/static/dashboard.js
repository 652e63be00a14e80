const dashboard = document.getElementById("dashboard");
dashboard.textContent = "Simulations and jobs appear here.";
